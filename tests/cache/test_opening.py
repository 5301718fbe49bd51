"""Opening: the table of receipts is used when it is exactly up to date, and never says what the receipts do not."""

import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from teachercache.cache import Cache, CacheError, DamagedCacheError, Manifest, create_cache, open_cache
from teachercache.cache.format.document import seal_document
from teachercache.cache.format.receipt import Receipt, publish_receipt, read_receipt, receipt_name
from teachercache.cache.format.receipt_table import TABLE_FILE, decode_table, encode_table, record_of, table_of
from teachercache.cache.opening import note_receipts
from teachercache.cache.storage.folder import FolderStore

Filled = Callable[..., tuple[Cache, dict[str, dict[str, np.ndarray]]]]


def receipt_of(cache: Cache, shard: str, rows: int, attempt: str = "0" * 12) -> Receipt:
    """A receipt as a builder would write it, of a shard without files."""
    folder = f"shards/{shard}.{attempt}"
    return Receipt(shard, folder, rows, cache.manifest.digest, {f"{folder}/zarr.json": {"bytes": 5, "xxh3": "0"}})


@pytest.fixture
def many(tmp_path: Path, manifest: Callable[..., Manifest]) -> Cache:
    """A cache of 100 shards of which every seventh has no receipt; no arrays."""
    names = tuple(f"s{i:03d}" for i in range(100))
    cache = create_cache(tmp_path / "many", manifest(names))
    (cache.root / "receipts").mkdir()
    for number, shard in enumerate(names):
        if number % 7:  # written without the syncs of `publish_receipt`, which take a second
            content = {"format": 1, **asdict(receipt_of(cache, shard, 2 * number))}
            (cache.root / receipt_name(shard)).write_bytes(seal_document(content))
    return open_cache(tmp_path / "many")


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names that are read from any folder from now on."""
    read, names = FolderStore.read, []

    def counted(store: FolderStore, name: str) -> bytes:
        names.append(name)
        return read(store, name)

    monkeypatch.setattr(FolderStore, "read", counted)
    return names


def test_a_second_opening_reads_no_receipt(many: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = (many.shards, many.row_counts.tolist())
    names = count_reads(monkeypatch)
    again = open_cache(many.url)
    assert (again.shards, again.row_counts.tolist()) == expected
    assert sorted(names) == ["manifest.json", TABLE_FILE]
    assert again.receipts["s001"] == read_receipt(many.store, "s001")


def test_only_receipts_that_are_new_are_read(many: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(many.shards) == 85
    publish_receipt(many.store, receipt_of(many, "s007", 10))
    names = count_reads(monkeypatch)
    again = open_cache(many.url)
    assert again.shards[6] == "s007" and again.row_counts[6] == 10
    assert [name for name in names if name.startswith("receipts/")] == ["receipts/s007.json"]
    names.clear()
    assert open_cache(many.url).rows == again.rows and "receipts/s007.json" not in names


def test_a_receipt_that_was_taken_away_is_not_in_the_next_opening(many: Cache) -> None:
    assert "s001" in many.shards
    many.store.move("receipts/s001.json", "receipts/damaged/s001.json")
    assert "s001" not in open_cache(many.url).shards
    with pytest.raises(DamagedCacheError, match="s001 was taken out of use"):
        many.receipts["s001"]


def test_a_receipt_of_equal_size_is_not_taken_for_the_old_one(many: Cache) -> None:
    before = many.receipts["s001"]
    os.unlink(many.root / "receipts/s001.json")
    publish_receipt(many.store, receipt_of(many, "s001", 8))
    assert before.rows == 2 and dict(zip((c := open_cache(many.url)).shards, c.row_counts, strict=True))["s001"] == 8
    with pytest.raises(DamagedCacheError, match="s001 was taken out of use, or built anew"):
        many.receipts["s001"]


def test_a_small_cache_is_opened_without_writing_anything(filled: Filled) -> None:
    cache, _ = filled(3, 2)
    assert not (cache.root / TABLE_FILE).exists()
    note_receipts(cache.root)
    assert (cache.root / TABLE_FILE).exists()


def test_who_may_not_write_opens_all_the_same(many: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    from teachercache.cache.errors import CacheWriteError

    def refuse(store: FolderStore, name: str, data: bytes) -> None:
        raise CacheWriteError("read-only")

    monkeypatch.setattr(FolderStore, "replace", refuse)
    assert len(open_cache(many.url).shards) == 85
    assert not (many.root / TABLE_FILE).exists()


def test_a_copied_cache_is_read_anew_and_equal(many: Cache, tmp_path: Path) -> None:
    assert many.rows
    shutil.copytree(many.root, tmp_path / "copy")
    (tmp_path / "copy/receipts/s001.json").unlink()
    copy = open_cache(tmp_path / "copy")
    assert copy.shards == tuple(shard for shard in many.shards if shard != "s001")


def test_a_table_of_another_cache_is_not_believed(
    many: Cache, tmp_path: Path, manifest: Callable[..., Manifest]
) -> None:
    other = create_cache(tmp_path / "other", manifest(many.manifest.shards))
    for shard in ("s001", "s002", "s003"):
        publish_receipt(other.store, receipt_of(other, shard, 1))
    note_receipts(other.root)
    shutil.copy(other.root / TABLE_FILE, many.root / TABLE_FILE)
    fresh = open_cache(many.url)
    assert len(fresh.shards) == 85 and fresh.row_counts.tolist()[:3] == [2, 4, 6]


def test_a_receipt_of_another_manifest_is_damage_with_and_without_a_table(many: Cache) -> None:
    publish_receipt(many.store, replace(receipt_of(many, "s007", 10), manifest="0" * 32))
    for _ in range(2):
        with pytest.raises(DamagedCacheError, match="shard s007 .* another manifest"):
            open_cache(many.url).shards  # noqa: B018


def test_a_pickled_cache_has_the_same_rows_whatever_is_built_in_the_meantime(filled: Filled, shard_writer: Any) -> None:
    cache, _ = filled(2, 3)
    cache = open_cache(cache.root)
    os.rename(cache.root / "receipts/s0.json", cache.root.parent / "s0.json")
    cache = open_cache(cache.root)
    assert cache.shards == ("s1",)
    sent = pickle.dumps(cache)
    os.rename(cache.root.parent / "s0.json", cache.root / "receipts/s0.json")
    there = pickle.loads(sent)
    assert there.shards == ("s1",) and there.rows == 6
    np.testing.assert_array_equal(there.read(np.arange(6)).ids, cache.read(np.arange(6)).ids)


def test_any_flipped_byte_of_the_table_changes_nothing(many: Cache) -> None:
    expected = (many.shards, many.row_counts.tolist())
    data = (many.root / TABLE_FILE).read_bytes()
    whole = decode_table(data)
    assert whole is not None
    for position in range(0, len(data), 11):
        damaged = bytearray(data)
        damaged[position] ^= 0xFF
        table = decode_table(bytes(damaged))
        if table is not None:  # a byte of padding, which no column holds
            assert table.records() == whole.records()
        if position % 1100 == 0:
            (many.root / TABLE_FILE).write_bytes(bytes(damaged))
            opened = open_cache(many.url)
            assert (opened.shards, opened.row_counts.tolist()) == expected


@pytest.mark.parametrize("cut", [0, 1, 100, 1000, -1])
def test_a_table_that_was_cut_short_is_made_again(many: Cache, cut: int) -> None:
    expected = many.shards
    data = (many.root / TABLE_FILE).read_bytes()
    (many.root / TABLE_FILE).write_bytes(data[:cut])
    assert open_cache(many.url).shards == expected
    assert decode_table((many.root / TABLE_FILE).read_bytes()) is not None


RECORDS = st.lists(
    st.tuples(
        st.integers(0, 40), st.integers(0, 9), st.sampled_from(["", "ab", "é"]), st.text("0123456789-", max_size=4)
    ),
    max_size=12,
)


@given(RECORDS)
def test_a_table_says_what_the_receipts_said(found: list[tuple[int, int, str, str]]) -> None:
    receipts = [
        Receipt(f"s{i}", f"shards/s{i}.{i}", rows, "m", {"f": {"bytes": size}}, {"xxh3": source} if source else {})
        for i, (rows, size, source, _) in enumerate(found)
    ]
    records = [record_of(it, (7, version)) for it, (*_, version) in zip(receipts, found, strict=True)]
    table = decode_table(encode_table(table_of(records)))
    assert table is not None
    assert table.records() == table_of(records).records()
    assert table.rows.tolist() == [it.rows for it in receipts] and table.bytes == sum(it.bytes for it in receipts)
    assert table.sources == tuple(source for _, _, source, _ in found)
    assert table.identities == {it.shard: (7, version) for it, (*_, version) in zip(receipts, found, strict=True)}


def test_the_table_is_as_the_format_page_says(many: Cache) -> None:
    assert len(many.shards) == 85
    table = pa.ipc.open_file(many.root / TABLE_FILE).read_all()
    text, numbers = ("shard", "folder", "source", "manifest", "version"), ("rows", "first", "bytes", "size")
    assert tuple(table.column_names) == text + numbers
    content = b""
    for name in text:
        encoded = [value.encode() for value in table[name].to_pylist()]
        content += np.cumsum([0, *map(len, encoded)]).astype("<i4").tobytes() + b"".join(encoded)
    for name in numbers:
        content += np.array(table[name].to_pylist(), "<i8").tobytes()
    expected = {b"teachercache.format": b"1", b"teachercache.xxh3": xxhash.xxh3_128_hexdigest(content).encode()}
    assert table.schema.metadata == expected
    status = (many.root / "receipts/s001.json").stat()
    assert table["version"][0].as_py() == f"{status.st_mtime_ns}-{status.st_ino}"
    assert table["size"][0].as_py() == status.st_size


@pytest.mark.parametrize(
    "change",
    [
        {"folder": ["shards/other.1", "shards/s1.1"]},
        {"folder": ["shards/s0.1/../s1.1", "shards/s1.1"]},
        {"rows": [-1, 2]},
        {"first": [0, 3]},
        {"shard": ["s0", "s0"], "folder": ["shards/s0.1", "shards/s0.2"]},
        {"rows": [None, 2]},
    ],
)
def test_a_table_that_no_receipts_could_have_made_is_refused(change: dict[str, list[Any]]) -> None:
    records = [record_of(Receipt(f"s{i}", f"shards/s{i}.1", 2, "m", {}), (1, "v")) for i in range(2)]
    table = table_of(records)
    assert decode_table(encode_table(table)) is not None
    columns = dict(table.columns)
    for name, values in change.items():
        columns[name] = pa.array(values, columns[name].type)
    assert decode_table(encode_table(replace(table, columns=columns))) is None


def test_an_unknown_shard_is_named(many: Cache) -> None:
    with pytest.raises(CacheError, match="no finished shard 's000'"):
        many.reader("s000")
