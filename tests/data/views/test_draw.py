"""The random numbers of views: the published ones, and the same ones for a view wherever it stands."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teachercache.data.views.draw import philox, streams


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ([0, 0, 0, 0], [0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_gives_the_known_answers_of_random123(counter: list[int], key: list[int], expected: list[int]) -> None:
    words = philox(np.array([counter], dtype=np.uint64).T, np.array([key], dtype=np.uint64).T)
    assert words.ravel().tolist() == expected


def test_philox_of_many_counters_is_that_of_each() -> None:
    counters = np.arange(40, dtype=np.uint64).reshape(4, 10)
    keys = np.arange(20, dtype=np.uint64).reshape(2, 10)
    each = [philox(counters[:, i : i + 1], keys[:, i : i + 1]) for i in range(10)]
    np.testing.assert_array_equal(philox(counters, keys), np.concatenate(each, axis=1))


@given(seed=st.integers(0, 2**64 - 1), ids=st.lists(st.text(max_size=20), min_size=1, max_size=8))
def test_uniforms_of_a_view_do_not_depend_on_its_company(seed: int, ids: list[str]) -> None:
    together = streams(seed, ids, range(1, 4)).uniforms(2, 3).reshape(len(ids), 3, 3)
    alone = streams(seed, ids[-1:], range(3, 4)).uniforms(2, 3)
    np.testing.assert_array_equal(together[-1, 2:], alone)


def test_uniforms_differ_between_seeds_samples_views_operations_and_places() -> None:
    drawn = [streams(seed, ["a", "b"], range(1, 3)).uniforms(place, 4) for seed in (0, 1) for place in (0, 1)]
    assert len(np.unique(np.concatenate(drawn))) == 2 * 2 * 4 * 4


def test_fewer_uniforms_are_the_first_of_more() -> None:
    numbers = streams(0, ["a"], range(1, 5))
    np.testing.assert_array_equal(numbers.uniforms(0, 3), numbers.uniforms(0, 6)[:, :3])


def test_uniforms_are_uniform_and_independent() -> None:
    drawn = streams(7, [str(number) for number in range(20_000)], range(1, 3)).uniforms(0, 4)
    assert drawn.min() >= 0 and drawn.max() < 1
    counts = np.stack([np.histogram(column, 100, (0, 1))[0] for column in drawn.T])
    chi2 = ((counts - 400) ** 2 / 400).sum(axis=1)
    assert np.all(np.abs(chi2 - 99) < 5 * np.sqrt(2 * 99))
    pairs = np.concatenate([drawn[0::2], drawn[1::2]], axis=1)  # view 1 beside view 2 of a sample
    correlations = np.corrcoef(pairs.T) - np.eye(8)
    assert np.abs(correlations).max() < 5 / np.sqrt(len(pairs))
