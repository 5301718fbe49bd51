"""Codecs of logits: what they store, in how many bytes, and that samples are right in the mean at every temperature."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from teachercache.cache import CacheError, SampledTargets
from teachercache.cache.codecs import build_codec
from teachercache.cache.codecs.logits.draws import row_keys, uniforms
from teachercache.cache.codecs.logits.ids import ids_part, pack_ids, unpack_ids
from teachercache.cache.codecs.logits.pps import PPS

TEMPERATURES = (1.0, 2.0, 4.0)


def logits(seed: int, rows: int, classes: int, scale: float) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, scale, (rows, classes)).astype(np.float32)


def softmax(values: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    shifted = (values.astype(np.float64) - values.max(axis=-1, keepdims=True)) / temperature
    return np.exp(shifted) / np.exp(shifted).sum(axis=-1, keepdims=True)


def dense(targets: SampledTargets, temperature: float) -> np.ndarray:
    """Weights at their classes: (n, classes) float64."""
    found = np.zeros((len(targets.ids), targets.classes))
    np.add.at(found, (np.arange(len(found))[:, None], targets.ids), targets.weights[temperature])
    return found


def size(codec: Any, classes: int) -> int:
    return sum(np.dtype(p.dtype).itemsize * int(np.prod(p.shape)) for p in codec.parts((classes,)))


def inclusions(row: np.ndarray, k: int) -> np.ndarray:
    """Probability of each class (C,) to be in the sample: 1 for the largest, min(1, p / tau) for the others, where tau
    is found by halving."""
    others, low, high = np.delete(row, row.argmax()), 0.0, 1.0
    for _ in range(200):
        tau = (low + high) / 2
        low, high = (tau, high) if np.minimum(1, others / tau).sum() > k - 1 else (low, tau)
    return np.where(np.arange(len(row)) == row.argmax(), 1.0, np.minimum(1, row / high))


def assert_zero_mean(errors: np.ndarray, deviation: np.ndarray, slack: float = 2e-6) -> None:
    """The mean of `errors` (m, C) is 0, within 5 standard errors: the known ones of classes that are drawn, those that
    are found of what is rounded."""
    spread = np.maximum(errors.std(axis=0), deviation) / np.sqrt(len(errors))
    assert np.all(np.abs(errors.mean(axis=0)) <= 5 * spread + slack)


def rows_near(seed: int, rows: int, classes: int, scale: float) -> np.ndarray:
    """Rows that hardly differ: each has a draw and a rounding of its own."""
    return logits(seed, 1, classes, scale) + np.random.default_rng(seed).uniform(-0.01, 0.01, (rows, classes)).astype(
        np.float32
    )


@pytest.mark.parametrize("classes", [10, 65_536, 65_537, 1 << 24, (1 << 24) + 1])
def test_ids_survive_in_the_fewest_bytes(classes: int) -> None:
    ids = np.unique(np.array([0, 1, 255, 256, 65_535, 65_536, (1 << 24) - 1, 1 << 24]).clip(0, classes - 1))[None]
    width = 2 if classes <= 65_536 else 3 if classes <= 1 << 24 else 4
    part = ids_part(ids.shape[1], classes)
    assert np.dtype(part.dtype).itemsize * int(np.prod(part.shape)) == ids.shape[1] * width
    for given_ids in (ids, torch.from_numpy(ids)):
        packed = pack_ids(given_ids, classes)
        assert np.asarray(packed).dtype == part.dtype and packed.shape == (1, *part.shape)
        np.testing.assert_array_equal(np.asarray(unpack_ids(packed, classes)), ids)


def test_stated_sizes_hold() -> None:
    assert size(build_codec("topk", {"k": 16, "entropy": True}), 1000) == 78
    assert size(build_codec("pps", {"k": 16}), 1000) == 64
    assert size(build_codec("pps", {"k": 16, "temperatures": [1.0]}), 1000) == 56
    assert size(build_codec("pps", {"k": 16}), 100_000) == 80


@pytest.mark.parametrize("name", ["topk", "pps"])
@pytest.mark.parametrize("classes", [66_000, (1 << 24) + 1])
def test_a_class_with_a_large_number_is_kept(name: str, classes: int) -> None:
    values = np.zeros((1, classes), np.float32)
    values[0, classes - 1] = 30.0
    codec = build_codec(name, {"k": 2})
    assert int(codec.decode(codec.encode(values), (classes,)).ids[0, 0]) == classes - 1


def test_topk_tells_the_entropy_when_it_was_asked_to() -> None:
    values = logits(0, 20, 50, 3.0)
    p = softmax(values)
    for told in (False, True):
        codec = build_codec("topk", {"k": 4, "entropy": told})
        found = codec.decode(codec.encode(values), (50,)).entropy
        assert (found is None) != told
        assert not told or found == pytest.approx(-(p * np.log(p)).sum(axis=1), rel=1e-3)
        assert build_codec("topk", codec.parameters) == codec


# scale of the logits, classes, k, sample_temperature: flat, usual, confident, drawn flatter, nearly all kept, two kept
SETTINGS = [
    (0.1, 40, 4, 1.0),
    (2.0, 60, 8, 1.0),
    (6.0, 60, 8, 1.0),
    (3.0, 30, 16, 2.0),
    (4.0, 9, 8, 1.0),
    (2.0, 30, 2, 4.0),
]


@pytest.mark.parametrize(("scale", "classes", "k", "drawn_at"), SETTINGS)
def test_pps_is_unbiased_at_every_temperature(scale: float, classes: int, k: int, drawn_at: float) -> None:
    values = rows_near(1, 10_000, classes, scale)
    codec = PPS(k, TEMPERATURES, drawn_at)
    targets = codec.decode(codec.encode(values), (classes,))
    rare = np.sqrt(1 / inclusions(softmax(values[0], drawn_at), k) - 1)
    for temperature in TEMPERATURES:
        p = softmax(values, temperature)
        assert_zero_mean(dense(targets, temperature) - p, p[0] * rare)


def test_independent_draws_of_one_row_are_unbiased_too() -> None:
    row = logits(3, 1, 40, 2.0)
    codec = PPS(6, TEMPERATURES)
    targets = [codec.decode(codec.encode(row, key), (40,)) for key in range(600)]
    rare = np.sqrt(1 / inclusions(softmax(row[0]), 6) - 1)
    for temperature in TEMPERATURES:
        p = softmax(row, temperature)  # of a class that is always kept the rounding is the row's, not the draw's
        found = np.concatenate([dense(one, temperature) for one in targets])
        assert_zero_mean(found - p, p[0] * rare, slack=0.01 * p.max())


def test_pps_varies_as_threshold_sampling_does() -> None:
    """Var t_i = p_i (tau - p_i) for p_i < tau; and no head is ever missing."""
    values = rows_near(4, 20_000, 100, 2.0)
    codec = PPS(12, (1.0,))
    parts = codec.encode(values)
    found, p, tau = dense(codec.decode(parts, (100,)), 1.0), softmax(values)[0], np.exp(parts["threshold"].mean())
    heads = p > tau * 1.05
    assert 2 < heads.sum() < 12 and np.all(found[:, heads] > 0)
    tails = p < tau / 1.05
    np.testing.assert_allclose(found[:, tails].var(axis=0), (p * (tau - p))[tails], rtol=0.2, atol=2e-6)


@given(st.integers(0, 10**6), st.integers(2, 9), st.integers(3, 40), st.sampled_from([0.01, 1.0, 8.0, 100.0, 1e5]))
def test_pps_keeps_k_different_classes_whose_weights_sum_to_one(seed: int, k: int, classes: int, scale: float) -> None:
    values = logits(seed, 5, classes, scale)
    codec = PPS(k, TEMPERATURES)
    targets = codec.decode(codec.encode(values), (classes,))
    ranked = np.sort(targets.ids, axis=1)
    assert targets.ids.shape == (5, min(k, classes)) and np.all(ranked[:, 1:] > ranked[:, :-1])
    np.testing.assert_array_equal(targets.ids[:, 0], values.argmax(axis=1))
    for weights in targets.weights.values():
        assert weights.dtype == np.float32 and np.isfinite(weights).all() and np.all(weights >= 0)
    assert targets.weights[1.0].sum(axis=1) == pytest.approx(np.ones(5), abs=0.35 if k * 4 > classes else 1e-5)


def test_random_sampling_is_unbiased_at_its_temperature_and_knows_no_other() -> None:
    values = rows_near(5, 20_000, 30, 2.0)
    codec = build_codec("sampling", {"draws": 12, "sample_temperature": 2.0})
    targets = codec.decode(codec.encode(values), (30,))
    assert list(targets.weights) == [2.0]
    p = softmax(values, 2.0)
    assert_zero_mean(dense(targets, 2.0) - p, np.sqrt(p[0] / 12))
    np.testing.assert_allclose(dense(targets, 2.0).var(axis=0), (p * (1 - p)).mean(axis=0) / 12, rtol=0.2, atol=1e-4)


@given(st.integers(0, 10**6), st.integers(1, 255), st.integers(1, 40), st.sampled_from([0.01, 2.0, 1e5]))
def test_random_sampling_counts_every_draw_once(seed: int, draws: int, classes: int, scale: float) -> None:
    values = logits(seed, 4, classes, scale)
    codec = build_codec("sampling", {"draws": draws})
    parts = codec.encode(values)
    targets = codec.decode(parts, (classes,))
    assert targets.ids.shape == (4, 1 + min(draws, classes - 1))
    assert np.all(parts["counts"].astype(int).sum(axis=1) == draws)
    for ids, weights, row in zip(targets.ids, targets.weights[1.0], values, strict=True):
        assert ids[0] == row.argmax()
        kept = ids[weights > 0]
        assert len(set(kept)) == len(kept)


@pytest.mark.parametrize("name", ["pps", "sampling"])
def test_the_same_row_is_drawn_alike_in_any_batch_and_by_numpy_and_torch(name: str) -> None:
    codec = build_codec(name, {"k": 6} if name == "pps" else {"draws": 20})
    values = logits(6, 40, 50, 3.0)
    whole = codec.encode(values)
    pieces = [codec.encode(values[start : start + 7]) for start in range(0, 40, 7)]
    on_torch = codec.encode(torch.from_numpy(values))
    for part in codec.parts((50,)):
        assert whole[part.name].shape == (40, *part.shape) and whole[part.name].dtype == part.dtype
        np.testing.assert_array_equal(whole[part.name], np.concatenate([piece[part.name] for piece in pieces]))
        np.testing.assert_array_equal(whole[part.name], on_torch[part.name].numpy())
    decoded, by_torch = codec.decode(whole, (50,)), codec.decode(on_torch, (50,))
    for temperature, weights in decoded.weights.items():
        np.testing.assert_allclose(weights, by_torch.weights[temperature].numpy(), rtol=1e-5)
    assert codec.error(values, decoded) == pytest.approx(codec.error(torch.from_numpy(values), by_torch), rel=1e-4)


def test_rows_of_many_classes_are_encoded_in_pieces_that_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from teachercache.cache.codecs.logits import pieces

    values = logits(7, 30, 50, 3.0)
    for codec in (build_codec("pps", {"k": 6}), build_codec("sampling", {"draws": 20})):
        whole = codec.encode(values)
        with monkeypatch.context() as patch:
            patch.setattr(pieces, "_MOST", 170)
            cut = codec.encode(values)
        for name in whole:
            np.testing.assert_array_equal(whole[name], cut[name])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_drawn_from(dtype: torch.dtype) -> None:
    values = torch.from_numpy(logits(8, 20, 50, 3.0)).to(dtype)
    for codec in (build_codec("pps", {"k": 6}), build_codec("sampling", {"draws": 20})):
        ours, theirs = codec.encode(values), codec.encode(values.float())
        for name, part in ours.items():
            assert torch.equal(part, theirs[name])


EXTREMES = {
    "one hot": np.eye(20, dtype=np.float32)[:4] * 1e4,
    "all equal": np.zeros((4, 20), np.float32),
    "huge": np.tile(np.float32([3e38, -3e38, 0, 1e38]), (4, 5)),
    "two values": np.repeat(np.float32([[0.0, 40.0]]), 10, axis=1).repeat(4, axis=0),
    "minus infinity nearly": np.where(np.arange(20) < 3, np.float32(0), np.float32(-1e30))[None].repeat(4, axis=0),
}


@pytest.mark.parametrize("name", EXTREMES)
@pytest.mark.parametrize("k", [2, 5, 19, 20, 33])
def test_extreme_rows_keep_finite_weights_that_sum_to_one(name: str, k: int) -> None:
    values = EXTREMES[name]
    codec = build_codec("pps", {"k": k})
    targets = codec.decode(codec.encode(values), (20,))
    for temperature, weights in targets.weights.items():
        assert np.isfinite(weights).all() and np.all(weights >= 0), temperature
    np.testing.assert_allclose(targets.weights[1.0].sum(axis=1), 1.0, rtol=2e-6 if k < 19 else 0.2)
    p = softmax(values)
    certain = p.max(axis=1) > 0.999
    assert np.all(targets.weights[1.0][certain, 0] > 0.999)
    sampled = build_codec("sampling", {"draws": 9})
    counts = sampled.encode(values)["counts"].astype(int).sum(axis=1)
    assert np.all(counts == 9) and np.isfinite(sampled.encode(values)["entropy"]).all()


def test_all_classes_are_kept_exactly_when_there_are_no_more() -> None:
    values = logits(9, 50, 10, 3.0)
    codec = build_codec("pps", {"k": 16})
    targets = codec.decode(codec.encode(values), (10,))
    for temperature in TEMPERATURES:
        np.testing.assert_allclose(dense(targets, temperature), softmax(values, temperature), rtol=8e-3)
    np.testing.assert_array_equal(targets.ids, np.argsort(-values, axis=1))


@pytest.mark.parametrize("name", ["pps", "sampling"])
def test_no_rows_make_empty_parts(name: str) -> None:
    codec = build_codec(name, {"k": 3} if name == "pps" else {"draws": 4})
    parts = codec.encode(np.zeros((0, 9), np.float32))
    for part in codec.parts((9,)):
        assert parts[part.name].shape == (0, *part.shape)
    assert codec.decode(parts, (9,)).ids.shape[0] == 0


def test_the_entropy_is_told() -> None:
    values = logits(10, 30, 40, 3.0)
    p = softmax(values)
    for codec in (build_codec("pps", {"k": 6, "sample_temperature": 2.0}), build_codec("sampling", {"draws": 5})):
        found = codec.decode(codec.encode(values), (40,)).entropy
        assert found == pytest.approx(-(p * np.log(p)).sum(axis=1), rel=1e-3)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("pps", {"k": 1}, "pps needs k, a number of at least 2"),
        ("pps", {}, "pps needs k"),
        ("pps", {"k": True}, "pps needs k"),
        ("pps", {"k": 4, "temperatures": [0.0]}, "temperatures are positive"),
        ("pps", {"k": 4, "temperatures": []}, "temperatures are positive"),
        ("pps", {"k": 4, "temperatures": "hot"}, "no temperatures"),
        ("pps", {"k": 4, "sample_temperature": float("inf")}, "temperatures are positive"),
        ("sampling", {"draws": 256}, "from 1 to 255"),
        ("sampling", {"draws": 0}, "from 1 to 255"),
        ("head", {"keep": "f64"}, "f16 or int8, not 'f64'"),
        ("head", {"classes": -1}, "head needs classes"),
    ],
)
def test_impossible_parameters_are_errors(name: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(CacheError, match=message):
        build_codec(name, parameters)


@pytest.mark.parametrize("name", ["pps", "sampling"])
def test_only_rows_of_logits_can_be_sampled(name: str) -> None:
    with pytest.raises(CacheError, match="logits"):
        build_codec(name, {"k": 3} if name == "pps" else {"draws": 4}).parts((3, 4))


def test_hashed_numbers_are_uniform_and_hang_together_in_nothing() -> None:
    """Bits of the hash flip by halves when one bit of a row flips; numbers fill (0, 1) evenly, pair by pair."""
    values = logits(11, 4000, 3, 1.0)
    flipped = (values.view(np.int32) ^ np.int32(1)).view(np.float32)
    flips = np.unpackbits((row_keys(values) ^ row_keys(flipped)).astype(">u4").view(np.uint8)).reshape(-1, 32)
    assert np.all(np.abs(flips.mean(axis=0) - 0.5) < 0.04)
    random = uniforms(row_keys(values), 4)
    assert np.all((random > 0) & (random < 1))
    np.testing.assert_allclose(np.histogram(random, 20, (0, 1))[0], 800, rtol=0.16)
    assert np.all(np.abs(np.corrcoef(random.T) - np.eye(4)) < 0.06)
    assert len(np.unique(row_keys(values[:1], 0))) == 1 and row_keys(values[:1], 0) != row_keys(values[:1], 1)


def test_what_was_drawn_once_is_drawn_for_ever() -> None:
    """Caches that are finished by a later version, and shards that are made again, must be drawn alike."""
    values = ((np.arange(3)[:, None] * 53 + np.arange(60) * 37) % 101 - 50).astype(np.float32) / 8
    pps = build_codec("pps", {"k": 6}).encode(values)
    assert pps["ids"].tolist() == [[30, 19, 49, 8, 27, 35], [4, 34, 53, 42, 31, 6], [8, 38, 27, 16, 35, 32]]
    assert pps["values"].tolist() == [[0, 2, 2, 2, 4, 7], [0, 240, 2, 3, 5, 11], [0, 220, 2, 3, 5, 9]]
    assert pps["grid"].tolist() == [[0, 0]] * 3
    np.testing.assert_allclose(pps["threshold"], [-1.8423924, -1.8237619, -1.8218756], rtol=1e-6)
    sampling = build_codec("sampling", {"draws": 8}).encode(values)
    assert sampling["ids"][0].tolist() == [30, 2, 16, 19, 38, 30, 30, 30, 30]
    assert sampling["counts"].tolist() == [
        [1, 1, 1, 2, 3, 0, 0, 0, 0],
        [1, 2, 1, 1, 2, 1, 0, 0, 0],
        [1, 1, 4, 1, 1, 0, 0, 0, 0],
    ]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("name", ["pps", "sampling"])
def test_a_gpu_draws_what_the_host_draws(name: str) -> None:
    codec = build_codec(name, {"draws": 20} if name == "sampling" else {"k": 6})
    values = torch.from_numpy(logits(12, 500, 1000, 3.0))
    here, there = codec.encode(values), codec.encode(values.cuda())
    same = (here["ids"].long() == there["ids"].cpu().long()).all(dim=1)
    assert int(same.sum()) >= 495  # where a sum rounds otherwise, the edge between two classes may move
    ours, theirs = codec.decode(here, (1000,)), codec.decode(there, (1000,))
    for temperature, weights in theirs.weights.items():
        assert weights.is_cuda
        torch.testing.assert_close(weights.cpu()[same], ours.weights[temperature][same], rtol=0.2, atol=1e-5)
