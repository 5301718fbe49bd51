"""Means, deviations and paired differences over seeds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teachercache.pipeline.report.quantities import count, duration, percent, points, size
from teachercache.pipeline.report.spread import paired_difference, spread

FRACTIONS = st.floats(0, 1)


def test_a_single_value_has_no_deviation() -> None:
    assert spread([0.5]).std is None


def test_only_shared_seeds_are_paired() -> None:
    found = paired_difference({0: 0.9, 1: 0.8, 3: 0.1}, {1: 0.5, 0: 0.7, 2: 0.9}, "labels-only")
    assert found is not None
    assert found.seeds == (0, 1)
    assert found.values == pytest.approx((0.2, 0.3))
    assert paired_difference({0: 0.9}, {1: 0.9}, "labels-only") is None


def test_a_difference_has_a_direction_only_beyond_its_interval() -> None:
    def direction(*values: float) -> int:
        found = paired_difference(dict(enumerate(values)), dict.fromkeys(range(len(values)), 0.0), "labels-only")
        assert found is not None
        return found.direction

    assert direction(0.05, 0.06, 0.04) == 1
    assert direction(-0.05, -0.06, -0.04) == -1
    assert direction(0.05, 0.06, -0.04) == 0
    assert direction(0.0) == 0
    assert direction(-0.1) == -1


@given(st.dictionaries(st.integers(0, 40), st.tuples(FRACTIONS, FRACTIONS), min_size=1))
def test_swapping_the_arms_turns_the_sign(pairs: dict[int, tuple[float, float]]) -> None:
    one, other = ({seed: pair[side] for seed, pair in pairs.items()} for side in (0, 1))
    there, back = paired_difference(one, other, "a"), paired_difference(other, one, "b")
    assert there is not None and back is not None
    assert there.mean == pytest.approx(-back.mean)
    assert there.direction == -back.direction


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (percent(0.81372), "81.4"),
        (percent(-0.0001), "0.0"),
        (percent(None), "–"),
        (count(9_999), "9,999"),
        (count(26_314), "26.3 k"),
        (count(999_900), "1.00 M"),
        (size(412_345), "412 kB"),
        (size(7.6e6), "7.60 MB"),
        (duration(0.0123), "12.3 ms"),
        (duration(74.2), "74.2 s"),
        (duration(150), "2 min 30 s"),
        (duration(5400), "1 h 30 min"),
        (points(paired_difference({0: 0.2}, {0: 0.25}, "labels-only")), "−5.0"),
    ],
)
def test_quantities_are_written_for_people(written: str, expected: str) -> None:
    assert written == expected
