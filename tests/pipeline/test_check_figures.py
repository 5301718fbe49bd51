"""What `check` shows of times and sizes: nothing negative, and no size that is rounded to nothing."""

import pytest

from teachercache.pipeline.commands.check import _added
from teachercache.stages.teacher.capture_cost import CaptureCost, _compared


@pytest.mark.parametrize(
    ("seconds", "noise", "said"),
    [
        (-0.0139, 0.0139, "under 13.9 ms"),
        (0.0004, 0.00092, "under 1 ms"),
        (-1e-6, 0.0, "under 0.1 ms"),
        (0.0030, 0.00092, "+3.0 ms (+30%)"),
    ],
)
def test_a_time_within_noise_is_shown_as_what_it_is_less_than(seconds: float, noise: float, said: str) -> None:
    assert _added(seconds, CaptureCost(0.010, {}, noise)) == said


def test_a_signal_that_seems_to_make_a_pass_faster_is_noise() -> None:
    cost = _compared({"logits": 0.020, "hidden.1": 0.031}, before=0.022, after=0.023)
    assert cost.bare == 0.022 and cost.noise == pytest.approx(0.002)
    assert _added(cost.signals["logits"], cost) == "under 2 ms"
    assert _added(cost.signals["hidden.1"], cost) == "+9.0 ms (+41%)"
    assert _compared({"logits": 0.022}, before=0.022, after=0.025).noise == pytest.approx(0.003)
