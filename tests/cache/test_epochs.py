"""Epochs of batches: every row once, whoever reads it; resumed equals never stopped; the next window is asked for."""

import os
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teachercache.cache import Cache, CacheError, open_cache
from teachercache.cache.reading.division import Division
from teachercache.cache.reading.epochs import Batching, Epochs

Filled = Callable[..., tuple[Cache, dict[str, dict[str, np.ndarray]]]]


@st.composite
def readings(draw: st.DrawFn) -> tuple[np.ndarray, int, int, dict[str, Any]]:
    """(rows of shards, rows of a block, views, settings): every reading that is not refused."""
    views = draw(st.integers(1, 3))
    counts = np.array(draw(st.lists(st.integers(0, 30), min_size=1, max_size=5))) * views
    settings = {
        "batch_size": draw(st.integers(1, 40)),
        "views": draw(st.none() | st.lists(st.integers(0, views - 1), min_size=1, unique=True).map(tuple)),
        "seed": draw(st.integers(0, 5)),
        "window": draw(st.integers(1, 5)),
        "world": draw(st.integers(1, 5)),
        "drop_last": draw(st.booleans()),
        "shuffle": draw(st.booleans()),
    }
    return counts, draw(st.integers(1, 20)), views, settings


def of_ranks(reading: tuple[np.ndarray, int, int, dict[str, Any]]) -> list[Epochs]:
    """The same epochs for every rank. Skips what is refused, for the reason that it is refused for."""
    counts, block, views, settings = reading
    try:
        world = range(settings["world"])
        return [Epochs(counts, block, views, Batching(rank=rank, **settings)) for rank in world]
    except CacheError as error:
        rows = int(counts.sum()) // views * len(settings["views"] or range(views))
        group = settings["batch_size"] * settings["world"]
        assert "drop_last=True or fewer ranks" in str(error) and not settings["drop_last"]
        assert 0 < rows % group < settings["world"] and (rows < group or settings["batch_size"] == 1)
        return []


@given(readings(), st.integers(0, 3))
def test_every_row_comes_once_an_epoch_whatever_the_ranks(reading: Any, epoch: int) -> None:
    counts, _, views, settings = reading
    batches = [[one.rows(epoch, n) for n in range(one.batches)] for one in of_ranks(reading)]
    if not batches:
        return
    assert len({len(of_rank) for of_rank in batches}) == 1
    sizes = np.array([[len(rows) for rows in of_rank] for of_rank in batches])
    assert np.all(sizes > 0) and np.all(sizes <= settings["batch_size"])
    assert np.all(sizes.max(axis=0, initial=0) - sizes.min(axis=0, initial=10**9) <= 1) or not sizes.size
    assert np.all(sizes[:, :-2] == settings["batch_size"])
    read = np.sort(np.concatenate([np.zeros(0, np.int64), *(rows for of_rank in batches for rows in of_rank)]))
    wanted = np.flatnonzero(np.isin(np.arange(counts.sum()) % views, settings["views"] or range(views)))
    assert len(np.unique(read)) == len(read) and np.all(np.isin(read, wanted))
    left = len(wanted) - len(read)
    assert left == 0 or (settings["drop_last"] and left < settings["batch_size"] * settings["world"])


@given(readings())
def test_a_batch_is_ascending_and_the_same_in_a_fresh_reader(reading: Any) -> None:
    for one, fresh in zip(of_ranks(reading), of_ranks(reading), strict=True):
        list(map(lambda n, one=one: one.rows(0, n), range(one.batches)))  # type: ignore[misc]
        for number in reversed(range(one.batches)):
            rows = fresh.rows(1, number)
            assert np.all(np.diff(rows) > 0)
            np.testing.assert_array_equal(one.rows(1, number), rows)


@given(st.lists(st.integers(0, 60), min_size=1, max_size=4), st.sampled_from([12, 24]), st.integers(0, 9))
def test_a_step_reads_the_same_rows_with_other_ranks(counts: list[int], group: int, seed: int) -> None:
    def step(world: int, number: int) -> np.ndarray:
        ranks = [Batching(group // world, seed=seed, rank=rank, world=world, drop_last=True) for rank in range(world)]
        return np.sort(np.concatenate([Epochs(np.array(counts), 8, 1, of).rows(0, number) for of in ranks]))

    for number in range(sum(counts) // group):
        for world in (2, 3, 4):
            np.testing.assert_array_equal(step(world, number), step(1, number))


@given(readings(), st.data())
def test_each_window_is_asked_for_once_and_before_it_is_needed(reading: Any, data: st.DataObject) -> None:
    for one in of_ranks(reading)[:1]:
        if not one.batches:
            return
        start = data.draw(st.integers(0, one.batches - 1))
        asked = [(n, runs) for n in range(start, one.batches) for runs in one.ahead(0, n, n == start)]
        starts = [tuple(runs[0].tolist()) for _, runs in asked]
        assert len(set(starts)) == len(starts)
        known = np.zeros(0, np.int64)
        for number in range(start, one.batches):
            new = [np.arange(a, b) for n, runs in asked if n == number for a, b in zip(*runs, strict=True)]
            known = np.concatenate([known, *new])
            assert np.all(np.isin(one.rows(0, number), known))


def test_a_window_is_asked_for_a_whole_window_ahead() -> None:
    epochs = Epochs(np.array([64 * 8]), 8, 1, Batching(16, window=16))
    asked = {number: len(runs) for number in range(epochs.batches) if (runs := epochs.ahead(0, number, number == 0))}
    assert asked == {0: 2, 8: 1, 16: 1}  # at the fourth and last window nothing is left to ask for


def test_fewer_rows_than_ranks_at_the_end_share_the_last_two_groups() -> None:
    division = Division(rows=33, batch_size=4, world=4)
    spans = [[division.span(number, rank) for rank in range(4)] for number in range(division.batches)]
    assert [[stop - start for start, stop in group] for group in spans] == [[4] * 4, [2] * 4, [2, 2, 2, 3]]


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        (3, {"batch_size": 4, "world": 4}, "leave 3 for 4 ranks"),
        (9, {"batch_size": 1, "world": 4}, "leave 1 for 4 ranks"),
        (9, {"batch_size": 0}, "batch_size is 0"),
        (9, {"batch_size": 4, "world": 0}, "rank is 0; with world=0"),
        (9, {"batch_size": 4, "rank": 2, "world": 2}, "rank is 2; with world=2 it is one of 0 to 1"),
        (9, {"batch_size": 4, "window": 0}, "window is 0"),
        (9, {"batch_size": 4, "seed": -1}, "seed -1"),
    ],
)
def test_what_cannot_be_divided_is_refused(rows: int, settings: dict[str, int], message: str) -> None:
    with pytest.raises(CacheError, match=message):
        Epochs(np.array([rows]), 8, 1, Batching(**settings))  # type: ignore[arg-type]


def test_batches_are_resumed_counted_and_split(filled: Filled) -> None:
    cache, _ = filled(40, 3, 33)
    settings: dict[str, Any] = {"seed": 3, "epoch": 1, "window": 2}
    whole = [batch.rows for batch in cache.batches(16, ["logits"], **settings)]
    rest = cache.batches(16, ["logits"], start=4, **settings)
    assert len(rest) == len(whole) - 4
    for _ in range(2):  # each iteration reads them again
        for ours, theirs in zip(rest, whole[4:], strict=True):
            np.testing.assert_array_equal(ours.rows, theirs)
    ranks = [[batch.rows for batch in cache.batches(8, ["logits"], rank=r, world=2, **settings)] for r in (0, 1)]
    for step in range(len(whole)):
        np.testing.assert_array_equal(np.sort(np.concatenate([ranks[0][step], ranks[1][step]])), whole[step])
    with pytest.raises(CacheError, match="begin at batch 11"):
        cache.batches(16, start=11)
    with pytest.raises(CacheError, match="no signal 'logit'"):
        cache.batches(16, ["logit"])


def test_only_the_views_and_signals_asked_for_are_read(filled: Filled) -> None:
    cache, values = filled(20, 3, 17)
    everything = np.concatenate([values[shard]["embedding"] for shard in cache.shards])
    for name in cache.signals:
        if name != "embedding":  # a signal that nobody asked for may be damaged
            for file in cache.root.glob(f"shards/*/{name}/*/c/**/0"):
                file.unlink() if file.is_file() else None
    batches = list(cache.batches(7, ["embedding"], views=[1], window=1))
    rows = np.concatenate([batch.rows for batch in batches])
    np.testing.assert_array_equal(np.sort(rows), np.arange(1, 80, 2))
    assert all(set(batch.signals) == {"embedding"} and np.all(batch.views == 1) for batch in batches)
    for batch in batches:
        np.testing.assert_allclose(batch.signals["embedding"], everything[batch.rows], atol=0.1)


def test_without_shuffling_rows_come_as_the_source_has_them(filled: Filled) -> None:
    cache, _ = filled(20, 3, 17)
    rows = np.concatenate([batch.rows for batch in cache.batches(7, ["logits"], shuffle=False, epoch=5)])
    np.testing.assert_array_equal(rows, np.arange(cache.rows))


def test_the_rows_of_the_next_window_are_prefetched(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, _ = filled(40, 3, 33)
    asked: list[np.ndarray] = []

    def note(signals: tuple[str, ...], starts: np.ndarray, stops: np.ndarray) -> None:
        assert signals == ("logits",)
        asked.append(np.concatenate([np.arange(a, b) for a, b in zip(starts, stops, strict=True)]))

    monkeypatch.setattr(cache, "prefetch", note)
    for number, batch in enumerate(cache.batches(16, ["logits"], window=2)):
        assert np.all(np.isin(batch.rows, np.concatenate(asked))), number
    np.testing.assert_array_equal(np.sort(np.concatenate(asked)), np.arange(cache.rows))


def epoch_of(cache: Cache) -> bytes:
    """All that one epoch says, as bytes."""
    return b"".join(
        x.tobytes() for batch in cache.batches(16, ["logits", "top"], seed=1) for x in (batch.rows, *values(batch))
    )


def values(batch: Any) -> list[np.ndarray]:
    return [batch.signals["logits"], batch.signals["top"].values, batch.signals["top"].ids, batch.labels]


def test_threads_read_what_one_thread_reads(filled: Filled) -> None:
    cache, _ = filled(40, 3, 33)
    expected = epoch_of(pickle.loads(pickle.dumps(cache)))
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(epoch_of, [cache] * 8)) == {expected}


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_another_process_reads_what_this_one_reads(filled: Filled, method: str) -> None:
    if method == "fork" and not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    cache, _ = filled(40, 3)
    batches = cache.batches(16, ["logits"])
    next(iter(batches))  # maps are open when the process forks
    with get_context(method).Pool(1) as pool:
        for batch in batches:
            there = pool.apply(Cache.read, (cache, batch.rows, ["logits"]))
            np.testing.assert_array_equal(there.signals["logits"], batch.signals["logits"])
            np.testing.assert_array_equal(there.ids, batch.ids)
    with pytest.raises(TypeError, match="hand on the cache"):
        pickle.dumps(batches)


def test_ranks_are_refused_while_shards_are_missing(filled: Filled) -> None:
    cache, _ = filled(40, 3)
    (cache.root / "receipts" / "s1.json").unlink()
    unfinished = open_cache(cache.root)
    assert len(unfinished.batches(16)) == 5
    with pytest.raises(CacheError, match="1 of 2 shards are missing"):
        unfinished.batches(16, world=2)
