"""slice, recode and merge: the values that were there, or an error that names what does not fit."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachercache.cache import (
    Cache,
    CacheError,
    DamagedCacheError,
    Manifest,
    RowIndex,
    SignalSchema,
    StaleCacheError,
    create_cache,
    open_cache,
)
from teachercache.cache.keeping.rubbish import find_rubbish
from teachercache.cache.keeping.verify import verify_cache
from teachercache.cache.rewriting.average import average_plan, mean_logits
from teachercache.cache.rewriting.recode import NewCodec, recode_plan
from teachercache.cache.rewriting.rewrite import rewrite
from teachercache.cache.rewriting.shard_union import plan_union, unite_shards
from teachercache.cache.rewriting.side_by_side import side_by_side_plan
from teachercache.cache.rewriting.slice import slice_plan

Filled = Callable[..., tuple[Cache, dict[str, dict[str, np.ndarray]]]]
SOURCE = {"kind": "webdataset", "listing": "abc"}


@pytest.fixture
def make(tmp_path: Path, manifest: Callable[..., Any], shard_writer: Callable[..., Any]) -> Callable[..., Cache]:
    """A cache with shards s0, s1, s2 of 9, 0 and 20 samples; `only` are built, `seed` makes other values."""

    def build(name: str, only: tuple[str, ...] = ("s0", "s1", "s2"), seed: int = 0, **fingerprint: Any) -> Cache:
        about = {name: {"point": name, "codec": "old"} for name in ("logits", "top", "attention.1", "embedding")}
        shared = {"source": SOURCE, "views": {"count": 2, "seed": 0}, "signals": about, "teacher": {"weights": seed}}
        cache = create_cache(tmp_path / name, manifest(("s0", "s1", "s2"), fingerprint={**shared, **fingerprint}))
        for number, (shard, samples) in enumerate((("s0", 9), ("s1", 0), ("s2", 20))):
            if shard in only:
                shard_writer(cache, shard, samples, seed + number)
        return open_cache(tmp_path / name)

    return build


def test_a_slice_holds_the_same_bytes_of_the_chosen_part(make: Callable[..., Cache], tmp_path: Path) -> None:
    cache = make("a")
    plan = slice_plan(cache, ["embedding", "top"], ["s2"], (1, 1))
    done = rewrite(str(tmp_path / "part"), plan)
    part = open_cache(tmp_path / "part")
    assert part.signals == ("top", "embedding") and part.shards == ("s2",) and part.manifest.views == 1
    rows = 18 + np.arange(20) * 2 + 1
    for signal in part.signals:
        for name, values in cache.encoded(signal, rows).items():
            np.testing.assert_array_equal(part.encoded(signal, np.arange(20))[name], values)
    np.testing.assert_array_equal(part.read(np.arange(20)).ids, cache.read(rows).ids)
    assert set(part.read(np.arange(20)).views) == {1} and verify_cache(part) == []
    assert part.take(["s2/0003"], view=1).ids[0] == "s2/0003" and len(list(part.batches(8, views=[1], seed=0))) == 3
    with pytest.raises(CacheError, match="holds views 1 to 1, not 0"):
        part.take(["s2/0003"])
    assert part.manifest.fingerprint["views"] == {"count": 1, "first": 1, "seed": 0}
    assert part.manifest.fingerprint["source"] == {"whole": SOURCE, "shards": ["s2"]}
    assert set(part.manifest.fingerprint["signals"]) == {"embedding", "top"}
    assert part.receipts["s2"].cost == {"teacher_seconds": 0.5} and done.made == ("s2",)


def test_a_slice_of_everything_keeps_what_a_configuration_asks_for(make: Callable[..., Cache], tmp_path: Path) -> None:
    cache = make("a")
    rewrite(str(tmp_path / "all"), slice_plan(cache))
    asked = {key: cache.manifest.fingerprint[key] for key in ("source", "views", "signals", "teacher")}
    assert open_cache(tmp_path / "all", asked).shards == cache.shards


@pytest.mark.parametrize(
    "asked", [{"signals": ["nope"]}, {"shards": ["s9"]}, {"views": (0, 2)}, {"views": (1, 0)}, {"views": (-1, 0)}]
)
def test_a_slice_of_what_is_not_there_is_an_error(make: Callable[..., Cache], asked: dict[str, Any]) -> None:
    with pytest.raises(CacheError, match="nope|s9|views 0 to 1"):
        slice_plan(make("a"), **asked)


def test_recoding_measures_the_error_against_the_old_values(make: Callable[..., Cache], tmp_path: Path) -> None:
    cache = make("a")
    rewrite(str(tmp_path / "new"), recode_plan(cache, {"logits": NewCodec("int8")}))
    new, rows = open_cache(tmp_path / "new"), np.arange(cache.rows)
    before, after = cache.read(rows).signals["logits"], new.read(rows).signals["logits"]
    worst = float(np.abs(before - after).max())
    assert 0 < worst < 0.1 and worst == max(r.error["logits"].get("max_abs", 0) for r in new.receipts.values())
    np.testing.assert_array_equal(new.encoded("embedding", rows)["values"], cache.encoded("embedding", rows)["values"])
    assert new.manifest.fingerprint["signals"]["logits"] == {"point": "logits", "codec": "int8", "parameters": {}}
    assert new.manifest.fingerprint["derived"]["before"]["logits"]["codec"] == "f16"
    assert verify_cache(new) == []


def test_what_left_out_most_of_a_row_is_not_recoded(make: Callable[..., Cache]) -> None:
    with pytest.raises(CacheError, match="signal top is kept by codec topk, which leaves out"):
        recode_plan(make("a"), {"top": NewCodec("f16")})


def test_the_same_rewrite_again_makes_only_what_is_missing(
    make: Callable[..., Cache], shard_writer: Callable[..., Any], tmp_path: Path
) -> None:
    out = str(tmp_path / "new")
    first = rewrite(out, recode_plan(make("a", only=("s0",)), {"logits": NewCodec("int8")}))
    assert (first.made, first.missing) == (("s0",), ("s1", "s2"))
    stamp = (tmp_path / "new/receipts/s0.json").stat().st_mtime_ns
    shard_writer(open_cache(tmp_path / "a"), "s2", 20, 2)
    cache = open_cache(tmp_path / "a")
    again = rewrite(out, recode_plan(cache, {"logits": NewCodec("int8")}))
    assert (again.made, again.standing, again.missing) == (("s2",), ("s0",), ("s1",))
    assert (tmp_path / "new/receipts/s0.json").stat().st_mtime_ns == stamp
    with pytest.raises(StaleCacheError):
        rewrite(out, recode_plan(cache, {"logits": NewCodec("f32")}))


def test_work_that_is_stopped_leaves_nothing_half_done(make: Callable[..., Cache], tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        assert (done, total) in ((18, 58), (58, 58))
        if done > 18:
            raise KeyboardInterrupt

    cache, out = make("a"), str(tmp_path / "new")
    with pytest.raises(KeyboardInterrupt):
        rewrite(out, slice_plan(cache), stop)
    new = open_cache(out)
    assert new.shards == ("s0", "s1") and find_rubbish(new.members) == [] and verify_cache(new) == []
    assert rewrite(out, slice_plan(cache)).made == ("s2",)


def test_damage_is_not_given_a_new_receipt(make: Callable[..., Cache], tmp_path: Path) -> None:
    cache, other = make("a"), make("b", seed=5)
    file = cache.root / cache.receipts["s0"].folder / "logits/values/c/0/0"
    file.write_bytes(file.read_bytes()[:-300] + bytes([7]) + file.read_bytes()[-299:])
    for plan in (slice_plan(cache), side_by_side_plan([other, cache], ["b", "a"])):
        with pytest.raises(DamagedCacheError, match="shard s0 cannot be read from.*repair"):
            rewrite(str(tmp_path / "new"), plan)
        assert open_cache(tmp_path / "new").shards == ()
        (tmp_path / "new/manifest.json").unlink()
    with pytest.raises(DamagedCacheError, match="shard s0 of .* is damaged"):
        unite_shards(str(tmp_path / "new"), [cache], plan_union([cache]), lambda done, total: None)
    left = [path for path in (tmp_path / "new/shards").iterdir() if path.is_dir()]
    assert open_cache(tmp_path / "new").shards == () and left == []


@pytest.mark.parametrize("copy", [False, True])
def test_shards_of_two_places_make_one_cache(make: Callable[..., Cache], tmp_path: Path, copy: bool) -> None:
    whole = make("whole")
    parts = [make("a", only=("s0", "s1")), make("b", only=("s0", "s2"))]
    plan = plan_union(parts)
    assert plan.double == ("s0",) and plan.missing == ()
    unite_shards(str(tmp_path / "new"), parts, plan, lambda done, total: None, copy)
    new, rows = open_cache(tmp_path / "new", whole.manifest.fingerprint), np.arange(whole.rows)
    for signal in whole.signals:
        for name, values in whole.encoded(signal, rows).items():
            np.testing.assert_array_equal(new.encoded(signal, rows)[name], values)
    assert verify_cache(new) == []
    file = parts[1].root / parts[1].receipts["s2"].folder / "logits/values/c/0/0"
    assert file.stat().st_nlink == (1 if copy else 2)
    assert unite_shards(str(tmp_path / "new"), parts, plan, lambda done, total: None, copy) == ()


def test_a_shard_with_other_bytes_in_two_parts_is_a_conflict(make: Callable[..., Cache], tmp_path: Path) -> None:
    same = {"teacher": {"weights": "x"}}
    a, b = make("a", only=("s0",), **same), make("b", only=("s0",), seed=4, **same)
    with pytest.raises(CacheError, match="shard s0 is in .*a and in .*b with different values; say --first-wins"):
        plan_union([a, b])
    unite_shards(str(tmp_path / "new"), [b, a], plan_union([b, a], first_wins=True), lambda done, total: None)
    new = open_cache(tmp_path / "new")
    np.testing.assert_array_equal(new.read(np.arange(3)).signals["logits"], b.read(np.arange(3)).signals["logits"])


def test_caches_of_different_teachers_are_not_parts_of_one(make: Callable[..., Cache]) -> None:
    with pytest.raises(CacheError, match=r"teacher.weights: .*a has 0, .*b has 1(.|\n)*--side-by-side"):
        plan_union([make("a"), make("b", seed=1)])


def test_two_teachers_side_by_side_keep_every_signal(make: Callable[..., Cache], tmp_path: Path) -> None:
    a, b = make("a"), make("b", seed=0, teacher={"weights": "other"})
    rewrite(str(tmp_path / "new"), side_by_side_plan([a, b], ["vit", "clip"]))
    new, rows = open_cache(tmp_path / "new"), np.arange(a.rows)
    assert len(new.signals) == 8 and new.manifest.fingerprint["teacher"]["clip"] == {"weights": "other"}
    for name, parent in (("vit", a), ("clip", b)):
        for signal in a.signals:
            for part, values in parent.encoded(signal, rows).items():
                np.testing.assert_array_equal(new.encoded(f"{name}.{signal}", rows)[part], values)
    assert verify_cache(new) == [] and new.receipts["s0"].cost == {"teacher_seconds": 2.0}


def test_teachers_that_saw_other_samples_are_not_put_side_by_side(
    make: Callable[..., Cache], tmp_path: Path, shard_writer: Callable[..., Any]
) -> None:
    a = make("a")
    with pytest.raises(CacheError, match=r"source.listing: .*a has abc, .*b has xyz"):
        side_by_side_plan([a, make("b", source={**SOURCE, "listing": "xyz"})], ["a", "b"])
    with pytest.raises(CacheError, match="need 2 different names"):
        side_by_side_plan([a, a], ["a", "a"])
    other = make("c", seed=3)  # the same ids and labels, but other parameters of the views
    with pytest.raises(CacheError, match=r"shard s0, row 0 \(sample 's0/0000'\): .* have different parameters"):
        rewrite(str(tmp_path / "new"), side_by_side_plan([a, other], ["a", "c"]))
    assert open_cache(tmp_path / "new").shards == ()


def test_the_softmax_of_the_average_is_the_average_of_the_softmaxes() -> None:
    rng = np.random.default_rng(0)
    logits = [rng.normal(0, scale, (50, 7)) for scale in (1, 5, 300)]
    softmax = [np.exp(z - z.max(-1, keepdims=True)) for z in logits]
    softmax = [p / p.sum(-1, keepdims=True) for p in softmax]
    mean = sum(w * p for w, p in zip((0.5, 0.25, 0.25), softmax, strict=True))
    found = np.exp(mean_logits([z.astype(np.float32) for z in logits], (2, 1, 1)).astype(np.float64))
    np.testing.assert_allclose(found, mean, rtol=1e-5, atol=1e-12)


def test_an_average_is_a_cache_of_its_logits(make: Callable[..., Cache], tmp_path: Path) -> None:
    a, b = make("a"), make("b", teacher={"weights": "other"})
    rewrite(str(tmp_path / "new"), average_plan([a, b], "logits", [1.0, 3.0], "f32"))
    new, rows = open_cache(tmp_path / "new"), np.arange(a.rows)
    expected = mean_logits([cache.read(rows).signals["logits"] for cache in (a, b)], [1, 3])
    np.testing.assert_array_equal(new.read(rows).signals["logits"], expected)
    assert new.signals == ("logits",) and verify_cache(new) == []
    assert new.manifest.fingerprint["teacher"]["weights"] == [1.0, 3.0]
    for wrong in ([1.0], [1.0, 0.0], [1.0, float("nan")]):
        with pytest.raises(CacheError, match="weights above 0"):
            average_plan([a, b], "logits", wrong)
    with pytest.raises(CacheError, match="leaves out"):
        average_plan([a, b], "top", [1.0, 1.0])
    with pytest.raises(CacheError, match="logits can be averaged"):
        average_plan([a, b], "attention.1", [1.0, 1.0])


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_slice_is_the_part_of_its_cache(data: st.DataObject) -> None:
    samples = data.draw(st.lists(st.integers(0, 9), min_size=1, max_size=4))
    views, names = data.draw(st.integers(1, 4)), tuple(f"s{i}" for i in range(len(samples)))
    chosen = data.draw(st.sets(st.sampled_from(names), min_size=1))
    first = data.draw(st.integers(0, views - 1))
    last = data.draw(st.integers(first, views - 1))
    with tempfile.TemporaryDirectory() as root:
        schema = SignalSchema("logits", "f32", {}, (2,))
        cache = create_cache(f"{root}/a", Manifest({}, {"logits": schema}, names, views, 4))
        rows = []
        for shard, count in zip(names, samples, strict=True):
            values = np.random.default_rng(count).normal(size=(count * views, 2)).astype(np.float32)
            ids = np.repeat(np.array([f"{shard}-{i}" for i in range(count)], np.str_), views)
            writer = cache.writer(shard)
            writer.append({"logits": {"values": values}})
            numbers = np.tile(np.arange(views, dtype=np.uint16), count)
            writer.seal(RowIndex(ids, numbers, np.zeros(len(ids), np.int64), np.zeros((len(ids), 0))))
            kept = (numbers >= first) & (numbers <= last) & (shard in chosen)
            rows += [
                (str(i), int(v), *x) for i, v, x in zip(ids[kept], numbers[kept], values[kept].tolist(), strict=True)
            ]
        part = rewrite(f"{root}/b", slice_plan(open_cache(f"{root}/a"), None, sorted(chosen), (first, last))).cache
        batch = part.read(np.arange(part.rows))
        found = zip(batch.ids.tolist(), batch.views.tolist(), *batch.signals["logits"].T.tolist(), strict=True)
        assert list(found) == rows and verify_cache(part) == []
