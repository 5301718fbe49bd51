"""The order of rows: every row once an epoch, a pure function of its key, shuffled as far as the window reaches."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from teachercache.cache.reading.order import ShuffledOrder


@given(st.lists(st.integers(0, 50), min_size=1, max_size=6), st.integers(1, 16), st.integers(1, 4), st.integers(0, 99))
def test_an_epoch_holds_every_row_once(counts: list[int], block: int, window: int, seed: int) -> None:
    order = ShuffledOrder.of(np.array(counts), block, window, seed)
    total = sum(counts)
    if total:
        np.testing.assert_array_equal(np.sort(order.epoch_rows(3, 0, total)), np.arange(total))


@given(st.integers(1, 16), st.integers(1, 4), st.integers(0, 10**6))
def test_any_piece_of_an_epoch_is_the_same_however_it_is_reached(block: int, window: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 40, 4)
    total = int(counts.sum())
    whole = ShuffledOrder.of(counts, block, window, seed).epoch_rows(1, 0, total)
    start, stop = sorted(rng.choice(total + 1, 2, replace=False).tolist())
    fresh = ShuffledOrder.of(counts, block, window, seed).epoch_rows(1, start, stop)
    np.testing.assert_array_equal(fresh, whole[start:stop])


def test_rows_of_one_block_are_spread_over_the_window() -> None:
    order = ShuffledOrder.of(np.array([4096]), 64, 16, 0).epoch_rows(0, 0, 1024)
    neighbours = np.abs(np.diff(order)) == 1
    assert neighbours.mean() < 0.01
    assert len(np.unique(order // 64)) == 16
