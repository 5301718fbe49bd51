"""What killing.py kills: a recode of a small cache. Round 0 is the undisturbed one."""

from pathlib import Path

import numpy as np

from teachercache.cache import Cache, Manifest, RowIndex, SignalSchema, create_cache, open_cache
from teachercache.cache.keeping.rubbish import find_rubbish, remove_rubbish
from teachercache.cache.keeping.verify import verify_cache
from teachercache.cache.rewriting.recode import NewCodec, recode_plan
from teachercache.cache.rewriting.rewrite import rewrite

SHARDS = tuple(f"s{number}" for number in range(6))


def make_cache(root: Path, shards: tuple[str, ...]) -> Cache:
    """A cache of which these shards are finished."""
    signals = {name: SignalSchema(name, "f32", {}, (12,), name) for name in ("logits", "embedding")}
    about = {name: {"point": name, "codec": "f32", "parameters": {}} for name in signals}
    cache = create_cache(root, Manifest({"signals": about}, signals, SHARDS, 1, 8))
    for shard in shards:
        rng = np.random.default_rng(SHARDS.index(shard))
        rows = int(rng.integers(0, 40))
        writer = cache.writer(shard)
        values = {name: rng.normal(size=(rows, 12)) for name in signals}
        writer.append({name: cache.codec(name).encode(x) for name, x in values.items()})
        ids = np.array([f"{shard}-{row}" for row in range(rows)], np.str_)
        writer.seal(RowIndex(ids, np.zeros(rows, np.uint16), np.zeros(rows, np.int64), np.zeros((rows, 0))))
    return open_cache(root)


def prepare(root: str, *unused: str) -> Path:
    """Make the parent before the first fork."""
    make_cache(Path(root) / "parent", SHARDS)
    return Path(root)


def work(root: Path, number: int) -> None:
    """Make what is missing of the new cache."""
    codecs = {"logits": NewCodec("topk", {"k": 4}), "embedding": NewCodec("int8", {}, "zstd")}
    rewrite(str(root / f"round-{number}"), recode_plan(open_cache(root / "parent"), codecs))


def compare(root: Path, rounds: int) -> None:
    """Every round's cache is whole and equal to the undisturbed one, value for value; gc leaves nothing behind."""
    first = open_cache(root / "round-0")
    rows = np.arange(first.rows)
    expected = {name: first.encoded(name, rows) for name in first.signals}
    for number in range(1, rounds + 1):
        cache = open_cache(root / f"round-{number}", first.manifest.fingerprint)
        assert list(remove_rubbish(cache.members, rubbish := find_rubbish(cache.members))) == rubbish
        assert find_rubbish(cache.members) == [] and cache.missing() == () and verify_cache(cache) == [], number
        for name, parts in expected.items():
            for part, values in cache.encoded(name, rows).items():
                np.testing.assert_array_equal(values, parts[part], err_msg=f"round {number}: {name}/{part}")
        for shard in cache.shards:
            np.testing.assert_array_equal(cache.reader(shard).index.ids, first.reader(shard).index.ids)
