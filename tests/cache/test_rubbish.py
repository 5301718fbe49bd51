"""gc: what belongs to nothing is found, what may still belong to somebody stays."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from teachercache.cache import Cache, CacheWriteError, RowIndex, open_cache
from teachercache.cache.keeping.repair import retire_shard
from teachercache.cache.keeping.rubbish import find_rubbish, remove_rubbish
from teachercache.cache.keeping.verify import verify_cache
from teachercache.cache.opening import open_members

Filled = Callable[..., tuple[Cache, dict[str, dict[str, np.ndarray]]]]


def kinds(cache: Cache, **settings: bool) -> list[tuple[str, str]]:
    found = find_rubbish(open_members(cache.root), **settings)
    return [(thing.name.split("/")[0], thing.kind) for thing in found]


def test_a_whole_cache_holds_no_rubbish(filled: Filled) -> None:
    cache, _ = filled(9, 0, 4)
    assert find_rubbish(open_members(cache.root), damaged=True) == []


def test_everything_that_belongs_to_nothing_goes_and_the_rest_stays(filled: Filled) -> None:
    cache, _ = filled(9, 4)
    before = sorted(path for path in cache.root.rglob("*"))
    started = cache.writer("s0")
    (cache.root / "shards/s1.ffffffffffff").mkdir()
    for name in (
        "rows/s1.ffffffffffff.arrow",
        "receipts/.s0.json.aa.tmp",
        "shards/.s1.0.aa.tmp/logits/x",
        "constants/old.00.npy",
        "extensions/never/manifest.json",
        ".manifest.json.aa.tmp",
    ):
        (cache.root / name).parent.mkdir(parents=True, exist_ok=True)
        (cache.root / name).write_bytes(b"12345")
    members = open_members(cache.root)
    found = find_rubbish(members)
    assert {thing.kind for thing in found} == {
        "attempt without a receipt",
        "row index without a receipt",
        "temporary file",
        "constant that the manifest does not name",
        "extension that was never begun",
    }
    assert len(found) == 8 and all(time.time() - thing.modified < 60 for thing in found)
    assert list(remove_rubbish(members, found)) == found and find_rubbish(members) == []
    started.discard()
    after = sorted(path for path in cache.root.rglob("*"))
    assert [path for path in after if path not in before] == [cache.root / "constants", cache.root / "extensions"]
    assert [path for path in before if path not in after] == [] and verify_cache(open_cache(cache.root)) == []


def test_a_damaged_receipt_keeps_its_shards_files_and_goes_only_when_asked(filled: Filled) -> None:
    cache, _ = filled(9, 4)
    receipt = cache.root / "receipts/s1.json"
    whole = receipt.read_bytes()
    receipt.write_bytes(whole[:-20])
    assert kinds(cache) == []
    receipt.write_bytes(whole)
    retire_shard(cache.members[0], "s1")
    assert kinds(cache) == [("rows", "row index without a receipt"), ("shards", "attempt without a receipt")]
    assert ("receipts", "damaged receipt") in kinds(cache, damaged=True)


def test_a_receipt_that_came_in_the_meantime_saves_its_files(filled: Filled) -> None:
    cache, _ = filled(9, 4)
    receipt = cache.root / "receipts/s1.json"
    receipt.rename(cache.root / "aside.json")
    found = find_rubbish(open_members(cache.root))
    assert len(found) == 2
    (cache.root / "aside.json").rename(receipt)
    assert list(remove_rubbish(open_members(cache.root), found)) == []
    assert verify_cache(open_cache(cache.root)) == []


def test_a_linked_file_is_as_young_as_its_link(filled: Filled, tmp_path: Path) -> None:
    cache, _ = filled(9)
    old = tmp_path / "old"
    old.write_bytes(b"1")
    os.utime(old, (1.0, 1.0))
    folder = cache.root / "shards/s0.ffffffffffff"
    folder.mkdir()
    os.link(old, folder / "zarr.json")
    (thing,) = find_rubbish(open_members(cache.root))
    assert time.time() - thing.modified < 60


@pytest.mark.parametrize("when", ["before the last batch", "before the receipt"])
def test_a_builder_whose_files_were_taken_stops_before_its_receipt(filled: Filled, when: str) -> None:
    cache, _ = filled(9)
    retire_shard(cache.members[0], "s0")
    cache = open_cache(cache.root)
    batch = {
        name: {p.name: np.zeros((4, *p.shape), p.dtype) for p in s.parts()}
        for name, s in cache.manifest.signals.items()
    }
    writer, members = cache.writer("s0"), open_members(cache.root)
    writer.append(batch)
    if when == "before the last batch":
        list(remove_rubbish(members, find_rubbish(members)))
        writer.append(batch)
    else:
        writer.append(batch)
        list(remove_rubbish(members, find_rubbish(members)))
    index = RowIndex(np.repeat(["a", "b", "c", "d"], 2), np.tile([0, 1], 4), np.zeros(8, np.int64), np.zeros((8, 2)))
    with pytest.raises(CacheWriteError, match="was removed while it was written; run the same command again"):
        writer.seal(index)
    writer.discard()
    assert open_cache(cache.root).missing() == ("s0",) and find_rubbish(members) == []
