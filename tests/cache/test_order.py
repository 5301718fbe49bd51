"""The order of rows: every row once an epoch, a pure function of its key, shuffled as far as the window reaches."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teachercache.cache import CacheError
from teachercache.cache.reading.order import RowOrder, ShuffledOrder, SourceOrder, row_blocks
from teachercache.cache.reading.view_choice import ViewChoice, choose_views

COUNTS = st.lists(st.integers(0, 50), min_size=1, max_size=6)


@given(COUNTS, st.integers(1, 16), st.integers(1, 4), st.integers(0, 99))
def test_an_epoch_holds_every_row_once(counts: list[int], block: int, window: int, seed: int) -> None:
    total = sum(counts)
    blocks = row_blocks(np.array(counts), block)
    shuffled: RowOrder = ShuffledOrder(blocks, window, seed)
    for order in (shuffled, SourceOrder(blocks, window)):
        assert order.rows == total
        np.testing.assert_array_equal(np.sort(order.epoch_rows(3, 0, total)), np.arange(total))


@given(COUNTS, st.integers(1, 16))
def test_blocks_follow_one_another_and_none_spans_two_shards(counts: list[int], block: int) -> None:
    blocks = row_blocks(np.array(counts), block)
    expected = [(start, min(block, end - start)) for start, end in _blocks(counts, block)]
    assert list(zip(blocks.starts.tolist(), blocks.sizes.tolist(), strict=True)) == expected


def _blocks(counts: list[int], block: int) -> list[tuple[int, int]]:
    """(first row, end of its shard) of each block, one by one."""
    ends = np.cumsum([0, *counts]).tolist()
    return [(start, end) for first, end in zip(ends[:-1], ends[1:], strict=True) for start in range(first, end, block)]


@given(st.integers(1, 16), st.integers(1, 4), st.booleans(), st.integers(0, 10**6))
def test_any_piece_of_an_epoch_is_the_same_however_it_is_reached(
    block: int, window: int, shuffle: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 40, 4)
    total = int(counts.sum())

    def fresh() -> RowOrder:
        blocks = row_blocks(counts, block)
        return ShuffledOrder(blocks, window, seed) if shuffle else SourceOrder(blocks, window)

    whole = fresh().epoch_rows(1, 0, total)
    start, stop = sorted(rng.choice(total + 1, 2, replace=False).tolist())
    np.testing.assert_array_equal(fresh().epoch_rows(1, start, stop), whole[start:stop])


@given(COUNTS, st.integers(1, 16), st.integers(1, 4), st.booleans(), st.integers(0, 99))
def test_the_rows_of_a_window_are_those_of_its_blocks(
    counts: list[int], block: int, window: int, shuffle: bool, seed: int
) -> None:
    blocks = row_blocks(np.array(counts), block)
    order: RowOrder = ShuffledOrder(blocks, window, seed) if shuffle else SourceOrder(blocks, window)
    places = np.array([order.window_at(2, place) for place in range(order.rows)])
    rows = order.epoch_rows(2, 0, order.rows)
    assert order.windows == len(set(places.tolist()))
    for number in range(order.windows):
        starts, stops = order.window_extents(2, number)
        assert 0 < len(starts) <= window
        read = np.concatenate([np.arange(a, b) for a, b in zip(starts, stops, strict=True)])
        np.testing.assert_array_equal(read, np.sort(rows[places == number]))


def test_rows_of_one_block_are_spread_over_the_window() -> None:
    order = ShuffledOrder.of(np.array([4096]), 64, 16, 0).epoch_rows(0, 0, 1024)
    neighbours = np.abs(np.diff(order)) == 1
    assert neighbours.mean() < 0.01
    assert len(np.unique(order // 64)) == 16


def test_no_epoch_ends_in_a_window_of_a_block_or_two() -> None:
    order = ShuffledOrder.of(np.array([65 * 8]), 8, 64, 0)
    assert [len(order.window_extents(0, number)[0]) for number in range(order.windows)] == [32, 33]


def test_epochs_and_seeds_differ_in_blocks_and_in_rows() -> None:
    def epoch(seed: int, number: int) -> np.ndarray:
        return ShuffledOrder.of(np.array([400, 800]), 16, 8, seed).epoch_rows(number, 0, 1200)

    orders = [epoch(seed, number) for seed in (0, 1) for number in (0, 1, 2)]
    same = [np.mean(a == b) for i, a in enumerate(orders) for b in orders[:i]]
    assert max(same) < 0.01


def test_the_order_of_a_seed_never_changes() -> None:
    """A run that was stopped under an older version goes on under a newer one."""
    rows = ShuffledOrder.of(np.array([400, 880]), 16, 8, 7).epoch_rows(3, 0, 1280)
    assert hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()[:16] == "abf369eb0423b887"


@given(st.integers(1, 6), st.data())
def test_chosen_views_are_numbered_without_the_others(of: int, data: st.DataObject) -> None:
    views = data.draw(st.lists(st.integers(0, of - 1), min_size=1, unique=True))
    choice, rows = choose_views(of, views), np.arange(7 * of)
    chosen = np.flatnonzero(np.isin(rows % of, views))
    np.testing.assert_array_equal(choice.rows(np.arange(len(chosen))), chosen)
    np.testing.assert_array_equal(choice.before(rows), np.searchsorted(chosen, rows))


@given(st.lists(st.integers(0, 12), min_size=1, max_size=4), st.integers(1, 10), st.integers(2, 4), st.data())
def test_an_epoch_of_some_views_holds_their_rows_once(
    samples: list[int], block: int, of: int, data: st.DataObject
) -> None:
    views = data.draw(st.lists(st.integers(0, of - 1), min_size=1, unique=True))
    counts = np.array(samples) * of
    order = ShuffledOrder.of(counts, block, 2, 0, choose_views(of, views))
    wanted = np.flatnonzero(np.isin(np.arange(counts.sum()) % of, views))
    np.testing.assert_array_equal(np.sort(order.epoch_rows(0, 0, order.rows)), wanted)
    for number in range(order.windows):
        starts, stops = order.window_extents(0, number)
        ends = np.cumsum(counts)
        np.testing.assert_array_equal(np.searchsorted(ends, starts, "right"), np.searchsorted(ends, stops - 1, "right"))
        assert np.all(stops - starts <= block)


@pytest.mark.parametrize("views", [(), (0, 0), (3,), (-1,)])
def test_views_that_are_not_there_or_twice_are_refused(views: tuple[int, ...]) -> None:
    with pytest.raises(CacheError, match="name some of 0 to 2, each once"):
        choose_views(3, views)
    assert choose_views(3, None) == ViewChoice(3, (0, 1, 2))
