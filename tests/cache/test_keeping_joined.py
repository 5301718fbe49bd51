"""A cache with extensions is kept like any other: each verb reaches every member."""

from pathlib import Path

import numpy as np
import pytest
from grid_members import make_whole, write_part

from teachercache.cache import Cache, CacheError, Rectangle, open_cache
from teachercache.cache.export.export import export_cache
from teachercache.cache.keeping.repair import repair_members
from teachercache.cache.keeping.rubbish import find_rubbish, remove_rubbish
from teachercache.cache.keeping.verify import verify_cache, verify_members
from teachercache.cache.opening import open_members
from teachercache.cache.rewriting.recode import NewCodec, recode_plan
from teachercache.cache.rewriting.rewrite import rewrite
from teachercache.cache.rewriting.shard_union import plan_union
from teachercache.cache.rewriting.slice import slice_plan

SHARDS = ("s0", "s1", "s2")


@pytest.fixture
def joined(tmp_path: Path) -> Cache:
    """Views 0-1 of logits in the base, of embedding in one extension, and view 2 of both in another."""
    whole = make_whole([5, 0, 7], 3, ["logits", "embedding"])
    root = tmp_path / "joined"
    write_part(root, whole, Rectangle(SHARDS, 0, 2, ("logits",)))
    write_part(root, whole, Rectangle(SHARDS, 0, 2, ("embedding",)), "001")
    write_part(root, whole, Rectangle(SHARDS, 2, 1, ("logits", "embedding")), "002")
    write_part(tmp_path / "whole", whole, whole.rectangle)
    return open_cache(root)


def equal(a: Cache, b: Cache, signals: tuple[str, ...] = ("logits", "embedding")) -> None:
    rows = np.arange(a.rows)
    assert a.rows == b.rows == 36
    for signal in signals:
        for part, values in a.encoded(signal, rows).items():
            np.testing.assert_array_equal(b.encoded(signal, rows)[part], values)
    for name in ("ids", "views", "labels"):
        np.testing.assert_array_equal(getattr(a.read(rows), name), getattr(b.read(rows), name))


def test_verify_and_repair_reach_into_extensions(joined: Cache) -> None:
    assert verify_cache(joined) == []
    member = joined.members[2]
    file = joined.root / "extensions/002" / member.receipts["s2"].folder / "logits/values/c/0/0"
    file.write_bytes(b"")
    found = verify_members(open_members(joined.root))
    assert [(damage.extension, damage.shard) for damage in found] == [("002", "s2")]
    assert "extension 002, shard s2: " in str(found[0])
    repair_members(open_members(joined.root), found)
    members = open_members(joined.root)
    assert [member.missing() for member in members] == [(), (), ("s2",)] and verify_members(members) == []
    assert open_cache(joined.root).shards == ("s0", "s1") and not file.exists()


def test_a_slice_makes_one_cache_of_base_and_extensions(joined: Cache, tmp_path: Path) -> None:
    rewrite(str(tmp_path / "flat"), slice_plan(joined))
    flat = open_cache(tmp_path / "flat")
    assert len(flat.members) == 1 and verify_cache(flat) == []
    equal(open_cache(tmp_path / "whole"), flat)


def test_a_recode_of_a_joined_cache_is_that_of_a_whole_one(joined: Cache, tmp_path: Path) -> None:
    for name, cache in (("a", joined), ("b", open_cache(tmp_path / "whole"))):
        rewrite(str(tmp_path / name), recode_plan(cache, {"logits": NewCodec("int8")}))
    equal(open_cache(tmp_path / "a"), open_cache(tmp_path / "b"))


def test_an_export_of_a_joined_cache_is_that_of_a_whole_one(joined: Cache, tmp_path: Path) -> None:
    for name, cache in (("a", joined), ("b", open_cache(tmp_path / "whole"))):
        export_cache(cache, tmp_path / "out" / name, "npy")
    files = sorted(path.relative_to(tmp_path / "out/b") for path in (tmp_path / "out/b").rglob("*.npy"))
    assert len(files) == 3 * 6
    for file in files:
        np.testing.assert_array_equal(np.load(tmp_path / "out/a" / file), np.load(tmp_path / "out/b" / file))


def test_gc_finds_rubbish_in_extensions_and_leaves_the_rest(joined: Cache) -> None:
    attempt = joined.root / "extensions/001/shards/s0.ffffffffffff"
    attempt.mkdir()
    (attempt / "zarr.json").write_bytes(b"123")
    members = open_members(joined.root)
    found = find_rubbish(members, damaged=True)
    assert [thing.name for thing in found] == ["extensions/001/shards/s0.ffffffffffff"]
    assert list(remove_rubbish(members, found)) == found and verify_cache(open_cache(joined.root)) == []


def test_caches_with_extensions_are_not_merged_shard_by_shard(joined: Cache) -> None:
    with pytest.raises(CacheError, match="has extensions; `teachercache cache slice` makes one cache of it first"):
        plan_union([joined, joined])
