"""Ids and labels of rows: one gather from any shards, and an index that breaks the rule of rows is refused."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teachercache.cache import CacheError, DamagedCacheError, RowIndex
from teachercache.cache.reading.lookup import SampleLookup
from teachercache.cache.reading.sample_columns import SampleColumns


def index_of(shard: int, samples: int, views: int) -> RowIndex:
    """A row index whose ids are longer from shard to shard."""
    ids = np.repeat([f"{'x' * shard}{shard}-{i}" for i in range(samples)] or np.zeros(0, np.str_), views)
    numbers = np.tile(np.arange(views, dtype=np.uint16), samples)
    return RowIndex(ids, numbers, np.repeat(np.arange(samples) + 10 * shard, views), np.zeros((samples * views, 0)))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(1, 3), st.integers(0, 10**6))
def test_rows_get_their_own_ids_views_and_labels(samples: list[int], views: int, seed: int) -> None:
    parts = [index_of(shard, count, views) for shard, count in enumerate(samples)]
    columns, rng = SampleColumns(np.array(samples), views, parts.__getitem__), np.random.default_rng(seed)
    for _ in range(3):
        shard = rng.choice([number for number, count in enumerate(samples) if count] or [0], 5 * bool(sum(samples)))
        row = np.array([rng.integers(len(parts[s])) for s in shard], np.int64)
        ids, numbers, labels = columns.gather(shard, row)
        for place, (s, r) in enumerate(zip(shard, row, strict=True)):
            assert ids[place] == parts[s].ids[r]
            assert (numbers[place], labels[place]) == (parts[s].views[r], parts[s].labels[r])


def test_a_shard_is_read_once_and_only_when_it_is_needed() -> None:
    read: list[int] = []

    def note(shard: int) -> RowIndex:
        read.append(shard)
        return index_of(shard, 4, 2)

    columns = SampleColumns(np.full(50, 4), 2, note)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda s: columns.gather(np.array([s, 7]), np.array([3, 0]))[0].tolist(), [3, 9] * 20))
    assert found == [["xxx3-1", "xxxxxxx7-0"], ["xxxxxxxxx9-1", "xxxxxxx7-0"]] * 20
    assert sorted(read) == [3, 7, 9]


@pytest.mark.parametrize("column", ["ids", "views", "labels"])
def test_an_index_that_breaks_the_rule_of_rows_is_refused(column: str) -> None:
    index = index_of(0, 3, 2)
    getattr(index, column)[3] = getattr(index, column)[0] + (5 if column != "ids" else "?")
    with pytest.raises(DamagedCacheError, match="does not hold 2 views of each sample in order"):
        SampleColumns(np.array([3]), 2, [index].__getitem__).gather(np.array([0]), np.array([5]))


def test_an_id_that_several_samples_have_finds_none() -> None:
    lookup = SampleLookup(np.array(["b", "a", "c", "a", "d"]))
    np.testing.assert_array_equal(lookup.find(["d", "b", "?"]), [4, 0, -1])
    with pytest.raises(CacheError, match="several samples have the id 'a'"):
        lookup.find(["c", "a"])
