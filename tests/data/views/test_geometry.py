"""Shear, translation and rotation in fixed point, against Pillow's transform and by hand."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from teachercache.data.views.geometry import _sine_cosine, rotate, shear, translate


def pillow(image: np.ndarray, matrix: tuple[float, ...], fill: int) -> np.ndarray:
    """The affine map about the centre: output (x, y) comes from matrix . (x, y, 1), nearest neighbour."""
    a, b, c, d, e, f = matrix
    x, y = image.shape[1] / 2, image.shape[0] / 2
    moved = (a, b, c + x - a * x - b * y, d, e, f + y - d * x - e * y)
    picture = Image.fromarray(image)
    return np.asarray(
        picture.transform(picture.size, Image.Transform.AFFINE, moved, Image.Resampling.NEAREST, fillcolor=(fill,) * 3)
    )


@given(seed=st.integers(0, 20), across=st.floats(-0.3, 0.3), down=st.floats(-0.3, 0.3), degrees=st.floats(-30, 30))
def test_moved_pixels_are_pillows(seed: int, across: float, down: float, degrees: float, pattern: Callable) -> None:
    image = pattern(31, 24, seed=seed)
    pairs = [
        (shear(image, across, 0.0, 9), lambda more: pillow(image, (1, across + more, 0, 0, 1, 0), 9)),
        (shear(image, 0.0, down, 9), lambda more: pillow(image, (1, 0, 0, down + more, 1, 0), 9)),
        (rotate(image, degrees, 9), lambda more: pillow(image, turned(degrees, more), 9)),
    ]
    for ours, pillows in pairs:
        # a source on the border of two pixels may be either: a hair more or less of the strength decides it
        same = [(ours == pillows(more)).all(axis=2) for more in (0.0, 1e-4, -1e-4)]
        assert np.logical_or.reduce(same).mean() > 0.99 and same[0].mean() > 0.85


def turned(degrees: float, more: float) -> tuple[float, ...]:
    sine, cosine = math.sin(math.radians(degrees) + more), math.cos(math.radians(degrees) + more)
    return cosine, -sine, 0, sine, cosine, 0


def test_translation_by_hand() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    assert translate(image, 0.3, 0.0, 99)[:, :, 0].tolist() == [[1, 2, 3, 99], [5, 6, 7, 99], [9, 10, 11, 99]]
    assert translate(image, 0.0, -0.4, 99)[:, :, 0].tolist() == [[99] * 4, [0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize("move", [lambda x: shear(x, 0.0, 0.0, 1), lambda x: rotate(x, 0.0, 1)])
def test_no_strength_changes_nothing(move: Callable, pattern: Callable) -> None:
    image = pattern(7, 10)
    np.testing.assert_array_equal(move(image), image)


def test_turning_is_counter_clockwise() -> None:
    image = np.zeros((21, 21, 1), np.uint8)
    image[10, 20] = 255  # to the right of the centre
    rows, columns, _ = np.nonzero(rotate(image, 30.0, 0))
    assert rows.mean() < 9 and columns.mean() > 12


@given(st.floats(-0.6, 0.6))
def test_sine_and_cosine_are_the_librarys(angle: float) -> None:
    sine, cosine = _sine_cosine(angle)
    assert sine == pytest.approx(math.sin(angle), abs=1e-15) and cosine == pytest.approx(math.cos(angle), abs=1e-15)
