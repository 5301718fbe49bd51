"""Codecs of logits: what they store, in how many bytes, and that samples are right in the mean at every temperature."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from teachercache.cache import SampledTargets
from teachercache.cache.codecs import build_codec
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
