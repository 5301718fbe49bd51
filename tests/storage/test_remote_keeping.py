"""The verbs that keep a cache, on caches in an S3 server: the same shards, and nothing left that belongs to nothing."""

from pathlib import Path
from typing import Any

import numpy as np

from teachercache.cache import open_cache
from teachercache.cache.export.export import export_cache
from teachercache.cache.keeping.repair import repair_members
from teachercache.cache.keeping.rubbish import find_rubbish, remove_rubbish
from teachercache.cache.keeping.verify import verify_cache, verify_members
from teachercache.cache.opening import open_members
from teachercache.cache.rewriting.recode import NewCodec, recode_plan
from teachercache.cache.rewriting.rewrite import rewrite
from teachercache.cache.rewriting.shard_union import plan_union, unite_shards
from teachercache.cache.rewriting.slice import slice_plan
from teachercache.cache.storage.address import open_store


def same(one: Any, other: Any, signals: tuple[str, ...]) -> None:
    rows = np.arange(one.rows)
    assert one.rows == other.rows
    for signal in signals:
        for part, values in one.encoded(signal, rows).items():
            np.testing.assert_array_equal(other.encoded(signal, rows)[part], values)


def test_rewriting_goes_from_store_to_store_and_to_a_folder(make_cache: Any, address: str, tmp_path: Path) -> None:
    cache, _ = make_cache(f"{address}/whole", 11, 0, 4)
    rewrite(f"{address}/slice", slice_plan(cache, ["logits", "top"]))
    rewrite(str(tmp_path / "new"), recode_plan(cache, {"logits": NewCodec("int8")}))
    part, near = open_cache(f"{address}/slice"), open_cache(tmp_path / "new")
    same(cache, part, ("logits", "top"))
    same(cache, near, ("top", "embedding"))
    assert verify_cache(part) == [] and verify_cache(near) == [] and find_rubbish(part.members) == []
    export_cache(part, tmp_path / "out", "npy", ["logits"])
    expected = cache.read(np.arange(22, 30), ["logits"]).signals["logits"]
    np.testing.assert_array_equal(np.load(tmp_path / "out/s2/logits.npy"), expected)


def test_shards_of_a_store_and_a_folder_make_one_cache(make_cache: Any, address: str, tmp_path: Path) -> None:
    full, _ = make_cache(tmp_path / "full", 11, 0, 4)
    make_cache(f"{address}/far", 11, 0, 4)
    make_cache(tmp_path / "near", 11, 0, 4)
    open_store(f"{address}/far").remove(["receipts/s2.json"])
    (tmp_path / "near/receipts/s0.json").unlink()
    parts = [open_cache(f"{address}/far"), open_cache(tmp_path / "near")]
    for out in (f"{address}/all", str(tmp_path / "all")):
        unite_shards(out, parts, plan_union(parts), lambda done, total: None)
        whole = open_cache(out)
        same(full, whole, full.signals)
        assert whole.missing() == () and verify_cache(whole) == [] and find_rubbish(whole.members) == []


def test_damage_in_a_store_is_repaired_and_rubbish_removed(make_cache: Any, address: str) -> None:
    cache, _ = make_cache(address, 11, 4)
    store, folder = open_store(address), cache.receipts["s1"].folder
    store.replace(f"{folder}/logits/values/c/0/0", b"short")
    members = open_members(address)
    found = verify_members(members)
    assert [damage.shard for damage in found] == ["s1"] == [d.shard for d in verify_members(members, fast=True)]
    repair_members(members, found)
    assert open_cache(address).missing() == ("s1",) and list(store.tree(folder)) == []
    store.publish("shards/s1.ffffffffffff/zarr.json", b"12345")
    store.publish("rows/s1.ffffffffffff.arrow", b"12345")
    members = open_members(address)
    found = find_rubbish(members)
    assert [thing.name for thing in found] == ["rows/s1.ffffffffffff.arrow", "shards/s1.ffffffffffff"]
    assert list(remove_rubbish(members, found)) == found and find_rubbish(members) == []
    assert verify_cache(open_cache(address)) == []
