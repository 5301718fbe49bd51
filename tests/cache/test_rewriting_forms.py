"""Rewriting what is more than one array of equal rows: ragged rows, constants, heads, compressed blocks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from teachercache.cache import Cache, CacheError, RowIndex, SignalSchema, create_cache, open_cache
from teachercache.cache.codecs import HeadLogits, Packing, QueryKey, Ragged, fit_pca
from teachercache.cache.keeping.verify import verify_cache
from teachercache.cache.rewriting.average import average_plan, mean_logits
from teachercache.cache.rewriting.dense import all_vectors
from teachercache.cache.rewriting.recode import NewCodec, recode_plan
from teachercache.cache.rewriting.rewrite import rewrite
from teachercache.cache.rewriting.side_by_side import side_by_side_plan
from teachercache.cache.rewriting.slice import slice_plan

TEXT, MAPS = Packing((0,)), Packing((1, 2), causal=True)
FACTORED = {"keep": "f16", "width": 4, "key_heads": 2, "causal": True}
HEAD = {"weight": "head.weight", "bias": "head.bias"}
SIGNALS = {
    "logits": SignalSchema("logits", "head", {"keep": "f16", "classes": 7}, (4,), constants=HEAD),
    "text": SignalSchema("text", "f16", {}, (6, 5), packing=TEXT),
    "maps": SignalSchema("maps", "u8sqrt", {}, (2, 6, 6), "attention.0", packing=MAPS),
    "factors": SignalSchema("factors", "factored", FACTORED, (2, 6, 6), "attention.1", packing=Packing((1,))),
}


@pytest.fixture
def make(tmp_path: Path, manifest: Callable[..., Any]) -> Callable[..., Cache]:
    """A cache of 9 and 5 rows; text of 0 to 6 tokens."""

    def build(name: str, weight_seed: int = 0) -> Cache:
        rng = np.random.default_rng(weight_seed)
        constants = {"head.weight": rng.normal(size=(7, 4)).astype("f4"), "head.bias": rng.normal(size=7).astype("f4")}
        about = {"teacher": weight_seed, "source": 1, "views": {"count": 1}, "signals": {n: {} for n in SIGNALS}}
        settings = {"views": 1, "classes": (), "fingerprint": about}
        made = create_cache(tmp_path / name, manifest(("s0", "s1"), signals=SIGNALS, **settings), constants)
        rng = np.random.default_rng(1)
        for shard, rows in (("s0", 9), ("s1", 5)):
            lengths = rng.integers(0, 7, rows)
            query, key = rng.normal(size=(2, rows, 2, 6, 4))
            values: dict[str, Any] = {
                "logits": HeadLogits(rng.normal(size=(rows, 4)), constants["head.weight"], constants["head.bias"]),
                "text": Ragged(rng.normal(size=(rows, 6, 5)), lengths),
                "maps": Ragged(np.tril(rng.random((rows, 2, 6, 6))), lengths),
                "factors": QueryKey(query, key, lengths, True),
            }
            writer = made.writer(shard)
            writer.append({signal: made.codec(signal).encode(x) for signal, x in values.items()})
            ids = np.array([f"{shard}-{i}" for i in range(rows)])
            writer.seal(RowIndex(ids, np.zeros(rows, np.uint16), np.zeros(rows, np.int64), np.zeros((rows, 2))))
        return open_cache(tmp_path / name)

    return build


def same(a: Cache, b: Cache, signals: dict[str, str]) -> None:
    """Signals of `a` have the bytes, and decode to the values, of those of `b` that they are mapped to."""
    rows = np.array([13, 0, 5, 9, 2])
    for ours, theirs in signals.items():
        found, expected = a.encoded(ours, rows), b.encoded(theirs, rows)
        for part in expected:
            np.testing.assert_array_equal(found[part], expected[part])
    assert verify_cache(a) == []


def test_all_forms_are_copied_with_their_constants(make: Callable[..., Cache], tmp_path: Path) -> None:
    cache = make("a")
    rewrite(str(tmp_path / "slice"), slice_plan(cache, ["logits", "factors"]))
    part = open_cache(tmp_path / "slice")
    same(part, cache, {"logits": "logits", "factors": "factors"})
    np.testing.assert_array_equal(part.constant("head.weight"), cache.constant("head.weight"))
    rewrite(str(tmp_path / "text"), slice_plan(cache, ["text"]))
    assert open_cache(tmp_path / "text").manifest.constants == {}


def test_two_heads_side_by_side_keep_their_own_weights(make: Callable[..., Cache], tmp_path: Path) -> None:
    a, b = make("a"), make("b", weight_seed=5)
    rewrite(str(tmp_path / "new"), side_by_side_plan([a, b], ["a", "b"]))
    new, rows = open_cache(tmp_path / "new"), np.arange(14)
    for name, cache in (("a", a), ("b", b)):
        same(new, cache, {f"{name}.{signal}": signal for signal in SIGNALS})
        found = new.read(rows, [f"{name}.logits"]).signals[f"{name}.logits"].logits()
        np.testing.assert_array_equal(found, cache.read(rows, ["logits"]).signals["logits"].logits())


def test_rows_of_different_lengths_are_recoded(make: Callable[..., Cache], tmp_path: Path) -> None:
    cache, rows = make("a"), np.arange(14)
    codecs = {"text": NewCodec("int8"), "factors": NewCodec("u8sqrt"), "maps": NewCodec("u8sqrt", {}, "zstd")}
    done = rewrite(str(tmp_path / "new"), recode_plan(cache, codecs))
    new = open_cache(tmp_path / "new")
    same(new, cache, {"maps": "maps", "logits": "logits"})
    before, after = (it.read(rows, ["text", "factors"]).signals for it in (cache, new))
    for name, most in (("text", 0.05), ("factors", 0.01)):
        np.testing.assert_array_equal(after[name].lengths, before[name].lengths)
        assert 0 < np.abs(after[name].values - before[name].values).max() < most
    assert done.cache.receipts["s0"].error["text"]["max_abs"] < 0.05


def test_a_head_is_recoded_to_what_its_logits_are(make: Callable[..., Cache], tmp_path: Path) -> None:
    cache, rows = make("a"), np.arange(14)
    rewrite(str(tmp_path / "new"), recode_plan(cache, {"logits": NewCodec("f32")}))
    new = open_cache(tmp_path / "new")
    expected = cache.read(rows, ["logits"]).signals["logits"].logits()
    np.testing.assert_allclose(new.read(rows, ["logits"]).signals["logits"], expected, atol=1e-6)
    assert new.manifest.signals["logits"].shape == (7,) and new.manifest.constants == {}
    for codec in ("head", "factored"):
        with pytest.raises(CacheError, match=f"codec {codec} keeps more than the values tell"):
            recode_plan(cache, {"text": NewCodec(codec)})


def test_heads_are_averaged_by_their_logits(make: Callable[..., Cache], tmp_path: Path) -> None:
    a, b, rows = make("a"), make("b", weight_seed=5), np.arange(14)
    rewrite(str(tmp_path / "new"), average_plan([a, b], "logits", [1, 1], "f32"))
    expected = mean_logits([cache.read(rows, ["logits"]).signals["logits"].logits() for cache in (a, b)], [1, 1])
    np.testing.assert_allclose(open_cache(tmp_path / "new").read(rows).signals["logits"], expected, atol=1e-6)


def test_components_are_those_of_the_real_tokens_alone(make: Callable[..., Cache], tmp_path: Path) -> None:
    cache, rows = make("a"), np.arange(14)
    text = cache.read(rows, ["text"]).signals["text"]
    tokens = np.concatenate([row[:length] for row, length in zip(text.values, text.lengths, strict=True)])
    vectors = np.concatenate(list(all_vectors(cache, "text")))
    np.testing.assert_array_equal(vectors, tokens)
    spectrum = fit_pca([vectors])
    constants = {"mean": spectrum.mean.astype("f4"), "basis": spectrum.basis(5)}
    rewrite(str(tmp_path / "new"), recode_plan(cache, {"text": NewCodec("pca", {"dimensions": 5}, "none", constants)}))
    new = open_cache(tmp_path / "new")
    found = new.read(rows, ["text"]).signals["text"]
    np.testing.assert_allclose(found.values, text.values, atol=5e-3)
    assert set(new.manifest.constants) == {"text.mean", "text.basis", "head.weight", "head.bias"}
    same(new, cache, {"logits": "logits", "maps": "maps"})


def test_pixels_belong_to_no_teacher_and_are_kept_once(tmp_path: Path, manifest: Callable[..., Any]) -> None:
    signals = {
        "logits": SignalSchema("logits", "f32", {}, (3,), "logits"),
        "pixels": SignalSchema("pixels", "u8", {}, (2, 2, 1), "view"),
    }
    pixels, caches = np.arange(24, dtype=np.uint8).reshape(6, 2, 2, 1), []
    for name in ("a", "b"):
        about = {"source": 1, "views": {"count": 2}, "signals": {n: {"point": s.point} for n, s in signals.items()}}
        made = create_cache(tmp_path / name, manifest(("s0",), signals=signals, fingerprint={**about, "teacher": name}))
        writer = made.writer("s0")
        logits = np.random.default_rng(len(caches)).normal(size=(6, 3)).astype(np.float32)
        writer.append({"logits": {"values": logits}, "pixels": {"values": pixels}})
        ids, views = np.repeat(["x", "y", "z"], 2), np.tile(np.arange(2, dtype=np.uint16), 3)
        writer.seal(RowIndex(ids, views, np.zeros(6, np.int64), np.zeros((6, 2))))
        caches.append(open_cache(tmp_path / name))
    for name, plan in (
        ("both", side_by_side_plan(caches, ["a", "b"])),
        ("mean", average_plan(caches, "logits", [1, 1])),
    ):
        rewrite(str(tmp_path / name), plan)
        new = open_cache(tmp_path / name)
        np.testing.assert_array_equal(new.encoded("pixels", np.arange(6))["values"], pixels)
        assert new.manifest.fingerprint["signals"]["pixels"] == {"point": "view"} and verify_cache(new) == []
    assert open_cache(tmp_path / "both").signals == ("a.logits", "b.logits", "pixels")
