"""Rows of a cache are found in their shard, whatever the shards' sizes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teachercache.cache.reading.row_places import RowPlaces

COUNTS = st.lists(st.integers(0, 9), max_size=6) | st.builds(
    lambda each, shards, last: [each] * shards + [last], st.integers(0, 9), st.integers(0, 5), st.integers(0, 9)
)


@given(COUNTS, st.sampled_from([np.int64, np.int32, np.uint16]))
def test_each_row_is_found_where_counting_finds_it(counts: list[int], dtype: type) -> None:
    shard, row = RowPlaces(np.array(counts, np.int64)).find(np.arange(sum(counts), dtype=dtype))
    expected = [(number, local) for number, rows in enumerate(counts) for local in range(rows)]
    assert list(zip(shard.tolist(), row.tolist(), strict=True)) == expected


@given(COUNTS, st.sampled_from([-1, -(2**63), 0, 1, 2**62]))
def test_a_row_that_is_not_there_is_refused(counts: list[int], beyond: int) -> None:
    places, row = RowPlaces(np.array(counts, np.int64)), beyond if beyond < 0 else sum(counts) + beyond
    with pytest.raises(IndexError, match=f"rows 0 to {sum(counts) - 1}; "):
        places.find(np.array([row, *range(sum(counts))]))
