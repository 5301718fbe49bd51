"""One byte for a size: right in the mean at every power, to the digits that a Monte Carlo of draws cannot see."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teachercache.cache.codecs.logits.threshold_values import code_sizes, decode_sizes, mean_factor
from teachercache.cache.codecs.logits.threshold_weights import threshold_weights

DITHERS = 4001
POWERS = (1.0, 0.5, 0.25, 2.0)


def all_dithers(sizes: np.ndarray, seed: int = 0) -> np.ndarray:
    """Dithers (4001, k) that fill [0, 1) evenly for every entry, in orders of their own."""
    even = (np.arange(DITHERS) + 0.5) / DITHERS
    return np.stack([np.random.default_rng([seed, i]).permutation(even) for i in range(len(sizes))], axis=-1)


def read(sizes: np.ndarray, tau: float, power: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights (4001, k) of one row of sizes under all dithers, and which entries are heads (k,)."""
    dither, threshold = all_dithers(sizes), np.full((DITHERS, 1), np.log(tau))
    parts = code_sizes(np.log(sizes / tau) + 0 * dither, threshold, dither)
    found = decode_sizes(parts["values"], parts["grid"], dither.astype(np.float32))
    weights = threshold_weights(found, threshold.astype(np.float32), power, 0.0)
    assert found.implied[0, 0] == (parts["values"][0, 0] == 0)
    return weights, found.head[0]


@pytest.mark.parametrize("power", POWERS)
def test_heads_and_tails_are_right_in_the_mean_whatever_their_place_on_the_grid(power: float) -> None:
    # The first is too small to be implied by the others, so all five are coded; two of them are heads.
    sizes, tau = np.array([9e-4, 7e-4, 3e-4, 9e-5, 2e-6]), 5e-4
    weights, head = read(sizes, tau, power)
    assert head.tolist() == [True, True, False, False, False]
    inclusion = np.where(sizes < tau, sizes / tau, 1.0)
    np.testing.assert_allclose(weights.mean(axis=0, dtype=np.float64), sizes**power / inclusion, rtol=2e-4)


def test_a_drawn_class_weighs_tau_at_power_one_whatever_its_byte_says() -> None:
    weights, _ = read(np.array([9e-4, 3e-4, 9e-5, 2e-6]), 5e-4, 1.0)
    np.testing.assert_allclose(weights[:, 1:], 5e-4, rtol=1e-6)


@pytest.mark.parametrize("power", POWERS)
def test_a_first_class_that_the_others_leave_is_right_in_the_mean(power: float) -> None:
    """Ten heads of nearly equal size over a wide grid: their rounding adds up in the first."""
    tau, others = 1e-5, np.array([0.12, 0.12, 0.11, 0.11, 0.1, 0.1, 0.1, 0.1, 2e-5])
    heads = np.concatenate([[1 - others.sum() - 6 * tau], others])
    weights, head = read(np.concatenate([heads, np.full(6, 0.3 * tau)]), tau, power)
    assert heads.argmax() == 0 and head.sum() == 9  # and the first, which has no code
    if power == 1:
        np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=3e-6)
    first = weights[:, 0].astype(np.float64)
    assert first.std() > 0.01 * heads[0] ** power  # so much that without a correction its mean would bend
    assert abs(first.mean() / heads[0] ** power - 1) < 3e-5


@given(st.integers(0, 10**6), st.sampled_from([1e-3, 0.1, 3.0, 60.0]))
def test_the_error_of_a_size_stays_within_half_a_step(seed: int, spread: float) -> None:
    random = np.random.default_rng(seed)
    heads, tails = random.uniform(0, spread, (1, 5)), -random.uniform(0, 20, (1, 5))
    u = np.concatenate([[[1.5 * spread]], heads, tails], axis=-1)
    threshold, dither = np.full((1, 1), -100.0), random.uniform(0, 1, u.shape)  # far too rare to be implied
    parts = code_sizes(u, threshold, dither)
    found = decode_sizes(parts["values"], parts["grid"], dither.astype(np.float32))
    assert not found.implied.any() and np.array_equal(found.head, u >= 0)
    assert np.all(np.abs(found.u - u) <= found.step * 0.5001 + 1e-5 * np.abs(u))
    assert np.all(found.step[u >= 0] <= (1.5 * spread + 2.5) / 126 * 1.05 + 3e-4)


def test_a_wide_gap_between_heads_and_tails_costs_no_precision() -> None:
    """Three equal heads, and the rest at exp(-600): the grid begins near the heads, not at the tails."""
    u = np.array([[598.0, 598.0, 597.5, -0.1]])
    parts = code_sizes(u, np.full((1, 1), -599.0), np.full(u.shape, 0.3))
    found = decode_sizes(parts["values"], parts["grid"], np.full(u.shape, 0.3, np.float32))
    assert found.implied[0, 0] and np.all(found.step[0, 1:3] < 0.03)


def test_the_mean_factor_is_the_mean_of_an_exponential_over_its_error() -> None:
    width = np.array([0.0, 1e-4, 0.05, 0.1, 0.2, 1.0, 4.0, -2.0])
    error = ((np.arange(20_000) + 0.5) / 20_000 - 0.5)[:, None]
    np.testing.assert_allclose(mean_factor(width), np.exp(error * width).mean(axis=0), rtol=1e-7)
