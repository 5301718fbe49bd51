"""Reading: the mapped path equals zarr-python, any client reads the files, every row is found again."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from teachercache.cache import Cache, CacheError, DamagedCacheError, open_cache
from teachercache.cache.codecs import Part
from teachercache.cache.reading.array_reader import MappedRows, ZarrRows, open_rows
from teachercache.cache.storage.folder import FolderStore
from teachercache.cache.writing.array_writer import ArrayWriter

Filled = Callable[..., tuple[Cache, dict[str, dict[str, np.ndarray]]]]


@given(
    st.sampled_from(["float32", "float16", "int8", "uint8", "uint16", "uint32"]),
    st.lists(st.integers(1, 5), max_size=3),
    st.integers(0, 70),
    st.integers(1, 32),
    st.integers(0, 10**6),
)
def test_the_mapped_path_equals_zarr_python(dtype: str, shape: list[int], rows: int, block: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    part = Part("values", dtype, tuple(shape))
    values = rng.integers(0, 100, (rows, *shape)).astype(dtype)
    with TemporaryDirectory() as folder:
        writer = ArrayWriter(Path(folder) / "a", part, block)
        for start in range(0, rows, 9):
            writer.append(values[start : start + 9])
        writer.seal()
        fast, slow = open_rows(FolderStore(Path(folder)), "a", part, rows, block), ZarrRows(Path(folder) / "a", rows)
        assert isinstance(fast, MappedRows)
        np.testing.assert_array_equal(zarr.open_array(f"{folder}/a", mode="r")[:], values)
        if rows:
            wanted = rng.integers(0, rows, 11)
            ours, theirs = np.empty((11, *shape), dtype), np.empty((11, *shape), dtype)
            fast.gather(wanted, ours)
            slow.gather(wanted, theirs)
            np.testing.assert_array_equal(ours, theirs)
            np.testing.assert_array_equal(ours, values[wanted])


def test_a_compressed_array_of_another_writer_is_read_through_zarr_python(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
    other = zarr.create_array(str(tmp_path / "a"), shape=(40, 3), chunks=(16, 3), shards=(48, 3), dtype="float32")
    other[:] = values
    reader = open_rows(FolderStore(tmp_path), "a", Part("values", "float32", (3,)), 40, 16)
    out = np.empty((3, 3), "float32")
    reader.gather(np.array([39, 0, 7]), out)
    assert isinstance(reader, ZarrRows)
    np.testing.assert_array_equal(out, values[[39, 0, 7]])


def test_zarr_python_and_pyarrow_alone_read_every_value(filled: Filled) -> None:
    cache, values = filled(20, 3, 17)
    root = zarr.open_group(str(cache.root / "shards"), mode="r")
    for shard, receipt in cache.receipts.items():
        group: Any = root[receipt.folder.removeprefix("shards/")]
        for name, x in values[shard].items():
            for part, expected in cache.codec(name).encode(x).items():
                np.testing.assert_array_equal(group[name][part][:], expected)
        index = pa.ipc.open_file(str(cache.root / "rows" / f"{Path(receipt.folder).name}.arrow")).read_all()
        assert index["id"].to_pylist() == [f"{shard}/{i // 2:04d}" for i in range(receipt.rows)]
        assert index["view"].to_pylist() == [i % 2 for i in range(receipt.rows)]
        assert index["label"].to_pylist() == [(i // 2 % 5 - 1) if i // 2 % 5 else None for i in range(receipt.rows)]


def test_a_zarr_client_walks_the_whole_tree_without_a_complaint(filled: Filled) -> None:
    cache, _ = filled(5, 6)
    names = [name for name, _ in zarr.open_group(str(cache.root / "shards"), mode="r").members(max_depth=None)]
    assert len(names) == 2 * (1 + 4 + 7)  # shard, signals, parts


def test_rows_come_back_in_the_order_asked_across_shards(filled: Filled) -> None:
    cache, values = filled(20, 3, 17)
    everything = np.concatenate([values[shard]["logits"] for shard in cache.shards])
    rows = np.random.default_rng(0).permutation(cache.rows)[:50]
    batch = cache.read(rows, ["logits"])
    np.testing.assert_array_equal(batch.signals["logits"], everything.astype("float16").astype("float32")[rows])
    ids = np.concatenate([cache.reader(shard).index.ids for shard in cache.shards])
    np.testing.assert_array_equal(batch.ids, ids[rows])
    np.testing.assert_array_equal(batch.views, rows % 2)


def test_samples_are_taken_by_id_under_a_view(filled: Filled) -> None:
    cache, values = filled(20, 3)
    batch = cache.take(["s1/0002", "s0/0011"], ["logits"], view=1)
    expected = np.stack([values["s1"]["logits"][5], values["s0"]["logits"][23]])
    np.testing.assert_array_equal(batch.signals["logits"], expected.astype("float16").astype("float32"))
    assert batch.labels.tolist() == [1, 0]
    with pytest.raises(CacheError, match="no sample 'nobody'"):
        cache.take(["s1/0002", "nobody"])
    with pytest.raises(CacheError, match="views 0 to 1"):
        cache.take(["s1/0002"], view=2)


def test_an_epoch_of_batches_holds_every_row_once_and_its_order_depends_on_the_epoch(filled: Filled) -> None:
    cache, _ = filled(40, 3, 33)
    epochs = [[batch.rows for batch in cache.batches(16, ["logits"], seed=3, epoch=e, window=2)] for e in (0, 1, 0)]
    for batches in epochs:
        np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(cache.rows))
    assert not np.array_equal(epochs[0][0], epochs[1][0])
    np.testing.assert_array_equal(np.concatenate(epochs[0]), np.concatenate(epochs[2]))


def test_a_row_signal_or_shard_that_is_not_there_is_named(filled: Filled) -> None:
    cache, _ = filled(4)
    with pytest.raises(CacheError, match="no signal 'logit'; it has logits"):
        cache.read(np.array([0]), ["logit"])
    with pytest.raises(CacheError, match="rows 0 to 7"):
        cache.read(np.array([8]))
    with pytest.raises(CacheError, match="rows 0 to 7"):
        cache.reader("s0").read("logits", np.array([-1]))
    with pytest.raises(CacheError, match="no finished shard 's9'"):
        cache.reader("s9")


def test_a_shard_cut_short_is_an_error_when_it_is_read(filled: Filled) -> None:
    cache, _ = filled(40)
    file = next((cache.root / cache.receipts["s0"].folder / "logits" / "values").glob("c/0/0"))
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DamagedCacheError, match="bytes where"):
        open_cache(cache.root).read(np.array([0]))


def test_arrays_are_read_without_torch(filled: Filled) -> None:
    cache, _ = filled(4)
    code = (
        "import sys, teachercache, numpy; c = teachercache.open_cache(sys.argv[1]);"
        "b = c.take(['s0/0001'], view=0); assert b.signals['logits'].shape == (1, 10);"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(cache.root)], check=True)
