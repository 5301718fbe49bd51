"""verify: every kind of damage is found, named and mended by building again; hostile metadata is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from teachercache.cache import Cache, CacheError, DamagedCacheError, open_cache
from teachercache.cache.format.document import seal_document
from teachercache.cache.format.manifest import MANIFEST_FILE
from teachercache.cache.format.receipt import receipt_name
from teachercache.cache.keeping.repair import retire_shard
from teachercache.cache.keeping.verify import verify_cache

Filled = Callable[..., tuple[Cache, dict[str, dict[str, np.ndarray]]]]


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_a_whole_cache_has_no_damage(filled: Filled) -> None:
    cache, _ = filled(20, 0, 3)
    assert verify_cache(open_cache(cache.root)) == []


def test_one_flipped_byte_anywhere_in_any_file_is_found_and_named(filled: Filled) -> None:
    cache, _ = filled(9, 4)
    rng = np.random.default_rng(0)
    for name in cache.receipts["s1"].files:
        path = cache.root / name
        for position in {0, path.stat().st_size - 1, int(rng.integers(path.stat().st_size))}:
            flip(path, position)
            found = verify_cache(open_cache(cache.root))
            assert [damage.shard for damage in found] == ["s1"] and path.name in found[0].problem
            flip(path, position)
    assert verify_cache(open_cache(cache.root)) == []


def test_a_flipped_byte_in_a_receipt_or_the_manifest_is_noticed(filled: Filled) -> None:
    cache, _ = filled(9, 4)
    receipt = cache.root / receipt_name("s1")
    for position in range(0, receipt.stat().st_size - 2, 37):
        flip(receipt, position)
        assert [damage.shard for damage in verify_cache(open_cache(cache.root))] == ["s1"], position
        flip(receipt, position)
    manifest = cache.root / MANIFEST_FILE
    for position in range(0, manifest.stat().st_size - 2, 37):
        flip(manifest, position)
        with pytest.raises((DamagedCacheError, CacheError)):
            open_cache(cache.root)
        flip(manifest, position)


@pytest.mark.parametrize("size", [0, 1, 100])
def test_a_file_cut_short_is_found(filled: Filled, size: int) -> None:
    cache, _ = filled(9, 4)
    for name in cache.receipts["s0"].files:
        path = cache.root / name
        whole = path.read_bytes()
        path.write_bytes(whole[: min(size, len(whole) - 1)])
        assert [damage.shard for damage in verify_cache(open_cache(cache.root))] == ["s0"], name
        path.write_bytes(whole)


def test_a_missing_file_is_found(filled: Filled) -> None:
    cache, _ = filled(3)
    (cache.root / cache.receipts["s0"].folder / "logits/values/c/0/0").unlink()
    assert "cannot be read" in verify_cache(open_cache(cache.root))[0].problem


def test_a_retired_shard_is_missing_and_can_be_made_again(filled: Filled, shard_writer: Callable[..., Any]) -> None:
    cache, _ = filled(3, 4)
    aside = retire_shard(cache.members[0], "s1")
    assert (cache.root / aside).exists() and open_cache(cache.root).missing() == ("s1",)
    shard_writer(open_cache(cache.root), "s1", 4, seed=1)
    assert verify_cache(open_cache(cache.root)) == [] and open_cache(cache.root).missing() == ()


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_bytes())
    content.pop("checksum")
    change(content)
    path.write_bytes(seal_document(content))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("views", -1),
        ("views", "many"),
        ("block", 0),
        ("block", 1 << 40),
        ("shards", ["../outside"]),
        ("shards", ["a/b"]),
        ("signals", [{"name": "../x", "codec": "f16", "parameters": {}, "shape": [3]}]),
        ("signals", [{"name": "x", "codec": "f16", "parameters": {}, "shape": [-3]}]),
        ("signals", [{"name": "x", "codec": "f16", "parameters": {}, "shape": [1 << 30, 1 << 30]}]),
        ("signals", [{"name": "x", "codec": "exec", "parameters": {}, "shape": [3]}]),
        ("signals", [{"name": "x", "codec": "topk", "parameters": {"k": "__import__"}, "shape": [3]}]),
        ("signals", "none"),
        ("format", 2),
    ],
)
def test_a_hostile_manifest_is_one_clear_error(filled: Filled, field: str, value: Any) -> None:
    cache, _ = filled(3)
    rewrite(cache.root / MANIFEST_FILE, lambda content: content.update({field: value}))
    with pytest.raises(CacheError):
        open_cache(cache.root)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("folder", "../../etc"),
        ("folder", "shards/other.123"),
        ("rows", -5),
        ("rows", "5"),
        ("files", {"../../etc/passwd": {"bytes": 1, "xxh3": ""}}),
        ("files", {"shards/x": {"bytes": -1, "xxh3": ""}}),
        ("shard", "s1"),
        ("manifest", "of another cache"),
        ("surprise", 1),
    ],
)
def test_a_hostile_receipt_is_one_clear_error(filled: Filled, field: str, value: Any) -> None:
    cache, _ = filled(3, 4)
    rewrite(cache.root / receipt_name("s0"), lambda content: content.update({field: value}))
    with pytest.raises(DamagedCacheError):
        _ = open_cache(cache.root).receipts


def test_a_receipt_that_claims_more_rows_than_there_are_is_an_error_and_not_an_allocation(filled: Filled) -> None:
    cache, _ = filled(3)
    rewrite(cache.root / receipt_name("s0"), lambda content: content.update(rows=1 << 50))
    with pytest.raises(DamagedCacheError):
        open_cache(cache.root).read(np.array([0]))
