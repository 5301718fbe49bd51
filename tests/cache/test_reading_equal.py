"""The table of mapped files, compressed chunks and foreign layouts all say what zarr-python says."""

import multiprocessing
import os
import threading
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from signal_arrays import DTYPES, ArraySchema, by_zarr, random_rows, slabs_of, write_slabs

from teachercache.cache.codecs import LENGTHS, Packing, Part
from teachercache.cache.reading.signal_rows import SignalRows

VECTOR = ArraySchema((Part("values", "float16", (5,)), Part("scale", "float32", ())))
TEXT = ArraySchema(
    (Part(LENGTHS, "uint32", ()), Part("values", "uint8", (3, 2), ragged=True), Part("scale", "float32", (), True)),
    shape=(9, 9),
    packing=Packing((0, 1), causal=True),
)
COUNTS = (40, 0, 3, 33)


def assert_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


@st.composite
def schemas(draw: st.DrawFn) -> ArraySchema:
    shape = st.lists(st.integers(1, 5), max_size=3).map(tuple)
    compression = draw(st.sampled_from(["none", "zstd"]))
    dense = Part("values", draw(st.sampled_from(DTYPES)), draw(shape))
    if draw(st.booleans()):
        return ArraySchema((dense,), compression=compression)
    wide = draw(st.sampled_from([(), (2,), (70,)]))  # below and above the size from which runs are gathered otherwise
    ragged = Part("elements", draw(st.sampled_from(DTYPES)), wide, ragged=True)
    axes = draw(st.sampled_from([((0,), False), ((0, 1), False), ((0, 1), True)]))
    parts = (dense, Part(LENGTHS, "uint32", ()), ragged)
    return ArraySchema(parts, (6, 6), Packing(*axes), compression)


@settings(max_examples=30, deadline=None)
@given(
    schemas(), st.lists(st.integers(0, 40), min_size=1, max_size=4).filter(any), st.integers(1, 17), st.integers(0, 999)
)
def test_any_rows_of_any_signal_equal_zarr_python(
    schema: ArraySchema, counts: list[int], block: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    with TemporaryDirectory() as folder:
        reader, _ = write_slabs(Path(folder), schema, block, counts, seed)
        for n in (0, 1, 30):
            slab, row = random_rows(rng, counts, n)
            found = reader.read(slab, row)
            if n:
                assert_equal(found, by_zarr(Path(folder), schema, slab, row))
            else:
                assert all(len(values) == 0 for values in found.values())


def test_a_batch_of_mapped_and_other_shards_keeps_the_order_asked(tmp_path: Path) -> None:
    reader, _ = write_slabs(tmp_path, VECTOR, 8, COUNTS, 0)
    for part in VECTOR.parts():  # another writer's layout of shard 2: no shard file, compressed
        place = tmp_path / "2" / "signal" / part.name
        values = zarr.open_array(str(place), mode="r")[:]
        other = zarr.create_array(
            str(place), shape=values.shape, chunks=(2, *part.shape), dtype=part.dtype, overwrite=True
        )
        other[:] = values
    slab, row = random_rows(np.random.default_rng(1), COUNTS, 100)
    assert_equal(reader.read(slab, row), by_zarr(tmp_path, VECTOR, slab, row))


@pytest.mark.parametrize("schema", [VECTOR, TEXT], ids=["dense", "ragged"])
def test_two_threads_that_touch_shards_for_the_first_time_read_the_same(tmp_path: Path, schema: ArraySchema) -> None:
    counts = [20] * 30
    reader, _ = write_slabs(tmp_path, schema, 8, counts, 0)
    slab, row = random_rows(np.random.default_rng(1), counts, 400)
    expected, found = by_zarr(tmp_path, schema, slab, row), {}
    start = threading.Barrier(4)

    def read(number: int) -> None:
        start.wait()
        found[number] = reader.read(slab, row)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        assert_equal(found[number], expected)


def _reads_in_child(reader: SignalRows, slab: np.ndarray, row: np.ndarray) -> bytes:
    """What a forked child reads, through a pipe."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            data = b"".join(values.tobytes() for values in reader.read(slab, row).values())
            os.write(send, data)
        finally:
            os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as file:
        data = file.read()
    assert os.waitpid(child, 0)[1] == 0
    return data


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_a_forked_child_reads_what_its_parent_had_mapped_and_what_it_had_not(tmp_path: Path, compression: str) -> None:
    schema = ArraySchema(VECTOR.parts(), compression=compression)
    reader, _ = write_slabs(tmp_path, schema, 8, COUNTS, 0)
    reader.read(np.array([0, 0]), np.array([1, 2]))
    slab, row = np.array([3, 0, 2, 3]), np.array([32, 5, 1, 0])
    leave = threading.Event()

    def keep_reading() -> None:
        while not leave.is_set():
            reader.read(slab[:2], row[:2])

    busy = threading.Thread(target=keep_reading)
    busy.start()
    try:
        expected = b"".join(values.tobytes() for values in by_zarr(tmp_path, schema, slab, row).values())
        for _ in range(5):
            assert _reads_in_child(reader, slab, row) == expected
    finally:
        leave.set()
        busy.join()
    assert_equal(reader.read(slab, row), by_zarr(tmp_path, schema, slab, row))


def _read_anew(root: Path, slab: np.ndarray, row: np.ndarray) -> dict[str, np.ndarray]:
    return SignalRows(TEXT, 8, slabs_of(root, COUNTS)).read(slab, row)  # type: ignore[arg-type]


def test_a_spawned_process_reads_the_same(tmp_path: Path) -> None:
    reader, _ = write_slabs(tmp_path, TEXT, 8, COUNTS, 0)
    slab, row = random_rows(np.random.default_rng(1), COUNTS, 50)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert_equal(pool.apply(_read_anew, (tmp_path, slab, row)), reader.read(slab, row))


def test_buffers_that_are_given_are_the_ones_that_are_filled(tmp_path: Path) -> None:
    reader, written = write_slabs(tmp_path, VECTOR, 8, (20,), 0)
    out = {part.name: np.empty((8, *part.shape), part.dtype) for part in VECTOR.parts()}
    found = reader.read(np.zeros(5, np.int64), np.arange(5)[::-1].copy(), out)
    for name, values in found.items():
        assert values.base is out[name]
        np.testing.assert_array_equal(out[name][:5], written[0][name][4::-1])


@pytest.mark.parametrize("schema", [VECTOR, TEXT, replace(TEXT, compression="zstd")], ids=["dense", "ragged", "zstd"])
def test_rows_that_were_prefetched_are_the_same_rows(tmp_path: Path, schema: ArraySchema) -> None:
    reader, _ = write_slabs(tmp_path, schema, 8, COUNTS, 0)
    reader.prefetch(np.array([3, 0, 0, 2]), np.array([8, 16, 0, 3]), np.array([33, 40, 16, 3]))
    slab, row = random_rows(np.random.default_rng(1), COUNTS, 100)
    assert_equal(reader.read(slab, row), by_zarr(tmp_path, schema, slab, row))
