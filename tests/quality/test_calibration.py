"""Temperature and calibration error, against a search over a grid and figures by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teachercache.stages.quality.answers import log_softmax
from teachercache.stages.quality.calibration import best_temperature, calibrate
from teachercache.stages.quality.reliability import reliability_bins


def answers(seed: int, scale: float, rows: int = 2000, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a teacher that knows the true distribution and says it `scale` times too loudly, and labels."""
    draw = np.random.default_rng(seed)
    true = draw.normal(size=(rows, classes)) * 1.5
    labels = np.array([draw.choice(classes, p=np.exp(row)) for row in log_softmax(true)])
    return (true * scale).astype(np.float32), labels


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_a_teacher_that_is_too_loud_is_cooled_by_as_much(scale: float) -> None:
    logits, labels = answers(0, scale)
    found = calibrate(logits, labels)
    assert found.temperature == pytest.approx(scale, rel=0.1)
    assert found.nll_calibrated <= found.nll and found.ece_calibrated < 0.04
    if scale == 3.0:
        assert found.ece > 0.1


@given(seed=st.integers(0, 1000), scale=st.floats(0.3, 5))
def test_no_temperature_of_a_grid_is_better(seed: int, scale: float) -> None:
    logits, labels = answers(seed, scale, rows=200)
    rows = np.arange(len(labels))
    grid = np.exp(np.linspace(np.log(0.06), np.log(19), 60))
    best = min(-np.mean(log_softmax(logits / t)[rows, labels]) for t in grid)
    found = -np.mean(log_softmax(logits / best_temperature(logits, labels))[rows, labels])
    assert found <= best + 1e-4


def test_bins_by_hand() -> None:
    bins = reliability_bins(np.array([0.99, 0.97, 0.5, 0.5]), np.array([True, False, True, True]))
    assert bins.share.tolist() == [0.5, 0.5]
    assert bins.accuracy.tolist() == [1.0, 0.5] and bins.confidence.tolist() == [0.5, pytest.approx(0.98)]
    assert bins.error == pytest.approx(0.5 * 0.5 + 0.5 * 0.48)
