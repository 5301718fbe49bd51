"""Files that are hostile and prove themselves: hashes and checksums are right, so validation itself is what is tested.

One error of the cache in one sentence, or harmless; no other exception, and nothing like what they claim is allocated.
The documents' fields are in tests/cache/test_hostile.py; here is what lies under them.
"""

import io
import json
import resource
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from every_form import everything, make_small_cache, replaced, same
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from teachercache.cache import CacheError, open_cache
from teachercache.cache.format.document import open_document, seal_document
from teachercache.cache.format.receipt_table import decode_table, encode_table, table_of
from teachercache.cache.keeping.verify import verify_members
from teachercache.cache.opening import note_receipts, open_members

MOST_KB = 250_000  # of growth of this process, which claims of terabytes would not fit into
FUZZ = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
VALUES = st.one_of(
    st.sampled_from([None, True, -1, 0, 1, 3, 1 << 31, 1 << 62, 1 << 70, -(1 << 70), 0.5, float("nan"), float("inf")]),
    st.sampled_from(["", "..", "/etc/passwd", "zstd", "gzip", "crc32c", "int8", "float64", "|O", "NaN", "a" * 300]),
    st.sampled_from([[], {}, [[]], [None], {"a": {}}, [1 << 40] * 3, [0], [-1, 2, 3], {"name": "gzip"}]),
)


@pytest.fixture(scope="module")
def small() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        make_small_cache(Path(folder) / "cache")
        yield Path(folder) / "cache"


def proven(root: Path, name: str, data: bytes) -> dict[Path, bytes]:
    """A file of shard s0 with other bytes, and the receipt that vouches for them."""
    receipt = root / "receipts/s0.json"
    content = open_document(receipt.read_bytes(), "receipt")
    content["files"][name] = {"bytes": len(data), "xxh3": xxhash.xxh3_128_hexdigest(data)}
    return {root / name: data, receipt: seal_document(content)}


def use(root: Path, contents: Mapping[Path, bytes]) -> dict[str, list[Any]] | None:
    """What is read from the cache with other contents, None when it is refused; it is also checked and verified."""
    before, said = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, None
    with replaced(contents):
        for read in (lambda: everything(root), lambda: everything(root, True), lambda: walked(root)):
            try:
                said = read()
            except CacheError as error:
                assert str(error)
                said = None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_KB
    return said


def walked(root: Path) -> Any:
    """Verified, listed for opening, and begun to be read as an epoch."""
    damages = verify_members(open_members(root))
    note_receipts(root)
    next(iter(open_cache(root).batches(4)), None)
    return None if damages else everything(root)


def refused(root: Path, contents: Mapping[Path, bytes]) -> None:
    assert use(root, contents) is None


def name_of(root: Path, pattern: str) -> str:
    (path,) = root.glob(pattern)
    return path.relative_to(root).as_posix()


# Row indexes


def index_bytes(**columns: Any) -> bytes:
    """A row index of shard s0 (10 rows) with other columns; None leaves one out."""
    ids = np.repeat([f"s0/{i}" for i in range(5)], 2)
    usual: dict[str, Any] = {
        "id": pa.array(ids),
        "view": pa.array(np.tile(np.arange(2, dtype=np.uint16), 5)),
        "label": pa.array(np.repeat(np.arange(5) - 1, 2)),
        "parameters": pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(20)), 2),
    }
    table = pa.table({name: column for name, column in {**usual, **columns}.items() if column is not None})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def test_a_row_index_that_is_right_is_read(small: Path) -> None:
    name = name_of(small, "rows/s0.*.arrow")
    assert use(small, proven(small, name, index_bytes())) is not None


@pytest.mark.parametrize(
    "columns",
    [
        {"id": None},
        {"id": pa.array(range(10))},
        {"id": pa.array([b"\xff\xfe"] * 10)},
        {"id": pa.array(["a"] * 9 + [None])},
        {"id": pa.array(["a"] * 9 + ["b" * 10_000_000])},
        {"id": pa.array(["a"] * 10).dictionary_encode()},
        {"view": pa.array(np.arange(10))},
        {"view": pa.array([0.5] * 10)},
        {"view": pa.array([None] * 10, pa.uint16())},
        {"label": pa.array(["x"] * 10)},
        {"label": pa.array([1 << 63] * 10, pa.uint64())},
        {"parameters": None},
        {"parameters": pa.array([[1.0, 2.0]] * 10)},
        {"parameters": pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(30)), 3)},
        {"parameters": pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(20, np.float32)), 2)},
        {"parameters": pa.FixedSizeListArray.from_arrays(pa.array([None] * 20, pa.float64()), 2)},
        {name: pa.nulls(0, kind) for name, kind in (("id", pa.string()), ("view", pa.uint16()), ("label", pa.int64()))}
        | {"parameters": pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(0)), 2)},
    ],
)
def test_a_row_index_of_other_columns_is_refused(small: Path, columns: dict[str, Any]) -> None:
    refused(small, proven(small, name_of(small, "rows/s0.*.arrow"), index_bytes(**columns)))


def test_offsets_that_lead_out_of_the_row_index_are_refused(small: Path) -> None:
    right, data = np.arange(0, 44, 4, dtype="<i4"), index_bytes()
    assert data.count(right.tobytes()) == 1
    for offsets in ([0, 1 << 30] + [1 << 30] * 9, [0, 5, 3, 8, 9, 10, 11, 12, 13, 14, 15], [-(1 << 30)] + [4] * 10):
        changed = data.replace(right.tobytes(), np.array(offsets, "<i4").tobytes())
        refused(small, proven(small, name_of(small, "rows/s0.*.arrow"), changed))


def mutated(data: bytes, random: Any) -> bytes:
    """Some bytes overwritten, cut out or doubled."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 6)):
        start = random.randrange(len(changed) + 1)
        piece = bytes(random.choices([0, 1, 0x7F, 0x80, 0xFF, 4, 8], k=random.randint(1, 8)))
        match random.randrange(4):
            case 0:
                del changed[start : start + random.randint(1, 16)]
            case 1:
                changed[start:start] = piece
            case _:
                changed[start : start + len(piece)] = piece
    return bytes(changed)


@FUZZ
@given(st.randoms(use_true_random=False))
def test_any_row_index_is_read_or_refused(small: Path, random: Any) -> None:
    name = name_of(small, "rows/s0.*.arrow")
    use(small, proven(small, name, mutated((small / name).read_bytes(), random)))


# The table of receipts


@FUZZ
@given(st.randoms(use_true_random=False))
def test_any_table_of_receipts_is_made_anew_or_says_what_the_receipts_say(small: Path, random: Any) -> None:
    table, whole = small / "receipts.arrow", everything(small)
    note_receipts(small)
    with replaced({table: mutated(table.read_bytes(), random)}):
        assert same(everything(small), whole)


@pytest.mark.parametrize("rows", [1 << 62, 1 << 40, (1 << 28) + 1, -2, 11])
def test_a_table_that_fits_the_receipts_and_lies_about_rows_gives_no_wrong_row(small: Path, rows: int) -> None:
    note_receipts(small)
    table = decode_table((small / "receipts.arrow").read_bytes())
    assert table is not None
    records = [{**record, "rows": rows} for record in table.records()]
    whole = everything(small)
    said = use(small, {small / "receipts.arrow": encode_table(table_of(records))})
    assert said is None or same(said, whole)


# zarr.json


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    keys = content if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    for key in keys:
        yield (*path, key)
        yield from places(content[key], (*path, key))


@FUZZ
@given(st.randoms(use_true_random=False), VALUES, st.sampled_from(["f16/values", "text/lengths", "text/values"]))
def test_any_zarr_json_gives_the_right_rows_or_an_error(small: Path, random: Any, value: Any, array: str) -> None:
    name, whole = name_of(small, f"shards/s0.*/{array}/zarr.json"), everything(small)
    content = json.loads((small / name).read_bytes())
    path = random.choice(list(places(content)))
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    said = use(small, proven(small, name, json.dumps(content).encode()))
    assert said is None or same(said, whole)


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    "data", [DEEP, b'{"a":' * 5_000 + b"1" + b"}" * 5_000, b"[]", b"1", b'"\\ud800"', b"\xff", b"{}"]
)
def test_a_zarr_json_that_is_none_is_refused(small: Path, data: bytes) -> None:
    refused(small, proven(small, name_of(small, "shards/s0.*/f16/values/zarr.json"), data))


# Values


@pytest.mark.parametrize("value", [0, 1, 5, 1 << 20, (1 << 32) - 1])
@pytest.mark.parametrize("place", [0, 9])
def test_lengths_that_no_row_has_are_refused(small: Path, value: int, place: int) -> None:
    name, whole = name_of(small, "shards/s0.*/text/lengths/c/0"), everything(small)
    lengths = bytearray((small / name).read_bytes())
    same_length = int.from_bytes(lengths[4 * place : 4 * place + 4], "little") == value
    lengths[4 * place : 4 * place + 4] = value.to_bytes(4, "little")
    said = use(small, proven(small, name, bytes(lengths)))
    assert same(said, whole) if same_length and said else said is None


@FUZZ
@given(st.lists(st.integers(0, (1 << 64) - 1), min_size=6, max_size=6), st.booleans())
def test_any_index_of_compressed_chunks_is_followed_only_within_its_file(
    small: Path, numbers: list[int], wraps: bool
) -> None:
    import google_crc32c

    root = small / "extensions/001-zstd"
    name = name_of(root, "shards/s0.*/topk.zstd/values/c/0/0")
    data = (root / name).read_bytes()
    end = len(data) - 16 * 3 - 4
    if wraps:  # sizes that add up to the right number when they overflow
        numbers = [0, 1 << 63, 1 << 63, 1 << 63, 0, end]
    index = np.array(numbers, np.uint64).tobytes()
    changed = data[:end] + index + google_crc32c.value(index).to_bytes(4, "little")
    refused(small, proven(root, name, changed))


# Constants


def npy(header: str, data: bytes = b"\0" * 144, version: bytes = b"\1\0") -> bytes:
    text = header.encode("latin1")
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + data


def saved(array: np.ndarray, pickled: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=pickled)
    return buffer.getvalue()


def with_constant(root: Path, data: bytes) -> dict[Path, bytes]:
    """The head's weight is other bytes, and the manifest vouches for them."""
    manifest = root / "manifest.json"
    content = open_document(manifest.read_bytes(), "manifest")
    about = content["constants"]["head.weight"]
    about |= {"bytes": len(data), "xxh3": xxhash.xxh3_128_hexdigest(data)}
    return {root / about["file"]: data, manifest: seal_document(content)}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04K\x01.",
        b"PK\x03\x04",
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 4), }"),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4611686018427387904), }"),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-9, -4), }"),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9.0, 4), }"),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (9, 4), }"),
        npy("{'descr': '<U1', 'fortran_order': False, 'shape': (9, 4), }"),
        npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (9, 4), }"),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9, 4), " + "(" * 5000),
        npy("[]"),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9, 4), }", version=b"\7\0"),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9, 4), }", b"\0" * 143),
        saved(np.array([{}], object), pickled=True),
        saved(np.zeros((9, 5), "f4")),
        saved(np.zeros((9, 0), "f4")),
        saved(np.float32(1)),
        saved(np.zeros((9, 4), "c8")),
        saved(np.zeros((9, 4), "?")),
    ],
)
def test_a_constant_that_is_no_such_array_is_refused(small: Path, data: bytes) -> None:
    refused(small, with_constant(small, data))


@FUZZ
@given(st.randoms(use_true_random=False))
def test_any_constant_is_read_or_refused(small: Path, random: Any) -> None:
    (path,) = small.glob("constants/head.weight.*.npy")
    data = path.read_bytes()
    use(small, with_constant(small, mutated(data[:128], random) + data[128:]))


# Documents as text


@pytest.mark.parametrize("document", ["manifest.json", "receipts/s0.json", "extensions/001-zstd.json"])
@pytest.mark.parametrize(
    "data",
    [
        DEEP,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b'{"format": 1, "checksum": "\\ud800"}',
        b'{"\\ud800": 1, "format": 1, "checksum": ""}',
        b"1" * 100_000,
        b'{"format": 1e400, "checksum": ""}',
        b"null",
        b"\xef\xbb\xbf{}",
        b"\0" * 1000,
        b"",
    ],
)
def test_a_document_that_is_none_is_refused(small: Path, document: str, data: bytes) -> None:
    refused(small, {small / document: data})


@pytest.mark.parametrize(("document", "field"), [("manifest.json", "views"), ("receipts/s0.json", "rows")])
def test_a_key_that_is_there_twice_is_refused(small: Path, document: str, field: str) -> None:
    text = (small / document).read_bytes()
    line = next(line for line in text.splitlines() if line.startswith(f' "{field}"'.encode()))
    refused(small, {small / document: text.replace(line, f' "{field}": 7,\n'.encode() + line)})


def test_a_gigantic_list_of_shards_costs_what_its_bytes_cost(small: Path) -> None:
    content = open_document((small / "manifest.json").read_bytes(), "manifest")
    content["shards"] += [f"x{number}" for number in range(100_000)]
    whole, before = everything(small), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with replaced({small / "manifest.json": seal_document(content)}):
        assert same(everything(small), whole)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_KB


@FUZZ
@given(st.randoms(use_true_random=False), st.sampled_from(["manifest.json", "receipts/s0.json"]))
def test_any_bytes_of_a_document_are_refused_or_mean_the_same(small: Path, random: Any, document: str) -> None:
    whole = everything(small)
    said = use(small, {small / document: mutated((small / document).read_bytes(), random)})
    assert said is None or same(said, whole)
