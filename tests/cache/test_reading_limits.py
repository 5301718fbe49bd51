"""What a system allows does not bound a cache: descriptors, maps, addresses. Damage is an error, never a crash."""

import gc
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import TracebackException

import numpy as np
import pytest
from signal_arrays import ArraySchema, random_rows, rows_of, slabs_of, write_slabs
from test_reading_equal import TEXT, VECTOR, assert_equal

from teachercache.cache import DamagedCacheError
from teachercache.cache.codecs import Part
from teachercache.cache.reading.signal_rows import SignalRows, Slab
from teachercache.cache.tables.map_budget import map_budget

linux = pytest.mark.skipif(sys.platform != "linux", reason="counts what /proc says")


@contextmanager
def descriptors(most: int) -> Iterator[None]:
    """At most this many files open at once, in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def maps_of(root: Path) -> int:
    return sum(str(root) in line for line in Path("/proc/self/maps").read_text().splitlines())


@linux
def test_no_descriptor_is_held_for_a_shard(tmp_path: Path) -> None:
    counts = [4] * 200
    reader, written = write_slabs(tmp_path, VECTOR, 4, counts, 0)
    slab, row = random_rows(np.random.default_rng(0), counts, 2000)
    before = len(os.listdir("/proc/self/fd"))
    with descriptors(before + 20):
        found = reader.read(slab, row)
    assert len(os.listdir("/proc/self/fd")) == before
    assert maps_of(tmp_path) == len(np.unique(slab)) * 2
    assert_equal(found, rows_of(VECTOR, written, slab, row))


@linux
def test_maps_stay_within_their_budget_and_go_with_their_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, readers = [6] * 40, []
    for name, schema in {"dense": VECTOR, "ragged": TEXT}.items():
        readers.append((schema, *write_slabs(tmp_path / name, schema, 4, counts, 0)))
    monkeypatch.setattr(map_budget(), "most", 25)
    rng = np.random.default_rng(0)
    for _ in range(20):
        for schema, reader, written in readers:
            slab, row = random_rows(rng, counts, 30)
            assert_equal(reader.read(slab, row), rows_of(schema, written, slab, row))
            assert maps_of(tmp_path) <= 25
    readers.clear()
    del reader
    gc.collect()
    assert maps_of(tmp_path) == 0


def test_threads_in_the_middle_of_a_batch_survive_a_new_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = [50] * 30
    reader, written = write_slabs(tmp_path, VECTOR, 16, counts, 0)
    monkeypatch.setattr(map_budget(), "most", 16)  # every other batch starts a new table
    slab, row = random_rows(np.random.default_rng(0), counts, 64)
    expected, wrong = rows_of(VECTOR, written, slab, row), []

    def read(number: int) -> None:
        rng = np.random.default_rng(number)
        for _ in range(100):
            some = rng.permutation(64)[:12]
            for name, values in reader.read(slab[some], row[some]).items():
                if not np.array_equal(values, expected[name][some]):
                    wrong.append(name)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# Rows of an odd number of bytes lie on a page's border every 4096 rows: a shard takes 205 MB of addresses.
ODD = ArraySchema((Part("values", "uint8", (50_001,)),))
WITHOUT_ADDRESSES = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from signal_arrays import by_zarr, np, random_rows, slabs_of
from test_reading_limits import ODD, SignalRows, assert_equal
slab, row = random_rows(np.random.default_rng(1), (3, 4, 2), 20)
expected = by_zarr(Path(sys.argv[1]), ODD, slab, row)
limit = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + (100 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
reader = SignalRows(ODD, 2, slabs_of(Path(sys.argv[1]), (3, 4, 2)))
assert_equal(reader.read(slab, row), expected)
assert any(sys.argv[1] in line for line in open("/proc/self/maps")) == (sys.argv[3] == "mapped")
"""


@linux
def test_where_no_addresses_can_be_reserved_shards_are_read_one_by_one(tmp_path: Path) -> None:
    write_slabs(tmp_path, ODD, 2, (3, 4, 2), 0)
    for limit, outcome in ((WITHOUT_ADDRESSES, "apart"), (WITHOUT_ADDRESSES.replace("100 << 20", "2 << 30"), "mapped")):
        command = [sys.executable, "-c", limit, str(tmp_path), str(Path(__file__).parent), outcome]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr


def file_of(root: Path, slab: int, part: str) -> Path:
    return next(path for path in (root / str(slab) / "signal" / part / "c").rglob("*") if path.is_file())


def damage(root: Path, how: str) -> None:
    file, about = file_of(root, 1, "values"), root / "1" / "signal" / "values" / "zarr.json"
    data = bytearray(file.read_bytes())
    match how:
        case "cut":
            file.write_bytes(data[:-7])
        case "empty":
            file.write_bytes(b"")
        case "longer":
            file.write_bytes(data + b"\0")
        case "index":
            data[-10] ^= 1
            file.write_bytes(data)
        case "gone":
            file.unlink()
        case "no zarr.json":
            about.unlink()
        case "zarr.json is no JSON":
            about.write_bytes(b"[")
        case "zarr.json is a list":
            about.write_bytes(b"[]")
        case "other shape":
            about.write_text(about.read_text().replace("33,", "34,", 1))
        case "data":
            data[3] ^= 1
            file.write_bytes(data)


HOWS = ["cut", "empty", "longer", "index", "gone", "no zarr.json", "zarr.json is no JSON", "zarr.json is a list"]


@pytest.mark.parametrize("how", [*HOWS, "other shape"])
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_a_damaged_file_is_an_error_when_it_is_first_read(tmp_path: Path, how: str, compression: str) -> None:
    schema = ArraySchema(VECTOR.parts(), compression=compression)
    reader, _ = write_slabs(tmp_path, schema, 8, (40, 33), 0)
    damage(tmp_path, how)
    reader.read(np.array([0]), np.array([39]))  # the other shard is sound
    for _ in range(2):
        with pytest.raises(DamagedCacheError, match="signal/values"):
            reader.read(np.array([0, 1]), np.array([39, 0]))


def test_a_changed_byte_of_a_compressed_chunk_is_an_error(tmp_path: Path) -> None:
    schema = ArraySchema(VECTOR.parts(), compression="zstd")
    reader, _ = write_slabs(tmp_path, schema, 8, (40, 33), 0)
    data = bytearray(file_of(tmp_path, 1, "values").read_bytes())
    data[40] ^= 1
    file_of(tmp_path, 1, "values").write_bytes(data)
    with pytest.raises(DamagedCacheError, match="chunk 0 cannot be decompressed"):
        reader.read(np.array([1]), np.array([0]))


def test_a_file_that_was_cut_since_it_was_checked_does_not_kill_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = ArraySchema((Part("values", "uint8", (5000,)),))
    reader, _ = write_slabs(tmp_path, schema, 8, (16,) * 4, 0)
    monkeypatch.setattr(map_budget(), "most", 2)
    for slab in range(4):
        reader.read(np.array([slab]), np.array([15]))
    os.truncate(file_of(tmp_path, 0, "values"), 4096)
    with pytest.raises(DamagedCacheError, match="has 4096 bytes where 80036 were written"):
        reader.read(np.array([0]), np.array([15]))


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("name", ["file", "zarr.json"])
def test_hashes_are_compared_at_the_first_reading_when_that_was_asked(
    tmp_path: Path, compression: str, name: str
) -> None:
    schema = ArraySchema((Part("values", "uint8", (5,)),), compression=compression)
    _, written = write_slabs(tmp_path, schema, 8, (40, 33), 0)
    records = {str(path.relative_to(tmp_path)): _record(path) for path in tmp_path.rglob("*") if path.is_file()}
    slabs = [Slab(slab.store, slab.folder, slab.rows, lambda: records) for slab in slabs_of(tmp_path, (40, 33))]

    def read(slab: int) -> np.ndarray:
        return SignalRows(schema, 8, slabs).read(np.array([slab]), np.array([0]))["values"]  # type: ignore[arg-type]

    np.testing.assert_array_equal(read(1), written[1]["values"][:1])
    if name == "file":
        damage(tmp_path, "data")
    else:
        about = tmp_path / "1" / "signal" / "values" / "zarr.json"
        about.write_text(about.read_text() + " ")
    with pytest.raises(DamagedCacheError, match="was changed after it was written"):
        read(1)
    np.testing.assert_array_equal(read(0), written[0]["values"][:1])


def _record(path: Path) -> dict[str, object]:
    import xxhash

    data = path.read_bytes()
    return {"bytes": len(data), "xxh3": xxhash.xxh3_128_hexdigest(data)}


def test_showing_a_reader_touches_no_address_without_a_file(tmp_path: Path) -> None:
    """Debuggers and tracebacks print what they find: arguments, locals, attributes."""
    reader, _ = write_slabs(tmp_path, TEXT, 8, (20,) * 5, 0)
    reader.read(np.array([2]), np.array([3]))
    part = reader._arrays["values"]
    assert part._table is not None
    for shown in (reader, part, part._table, part._table._range):
        assert len(repr(shown)) < 200
    table, wrong = part._table, np.zeros((1, 2, 3), np.int64)  # what fails inside
    for fail in (lambda: table.take_runs(np.array([0]), wrong), lambda: table.take(wrong, wrong)):
        with pytest.raises((ValueError, TypeError)) as error:
            fail()
        "".join(TracebackException.from_exception(error.value, capture_locals=True).format())
