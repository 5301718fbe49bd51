"""Colour jitter in integers, against Pillow's own in floating point."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from teachercache.data.views.colour import brightness, contrast, saturation

ENHANCEMENTS = [
    (brightness, ImageEnhance.Brightness),
    (contrast, ImageEnhance.Contrast),
    (saturation, ImageEnhance.Color),
]


@pytest.mark.parametrize(("ours", "pillows"), ENHANCEMENTS)
@given(factor=st.floats(0, 2), seed=st.integers(0, 99))
def test_enhancement_is_pillows_but_for_rounding(
    ours: Callable, pillows: Callable, factor: float, seed: int, pattern: Callable
) -> None:
    image = pattern(9, 12, seed=seed)
    expected = np.asarray(pillows(Image.fromarray(image)).enhance(factor)).astype(int)
    assert np.abs(ours(image, factor).astype(int) - expected).max() <= 1


@pytest.mark.parametrize(("ours", "pillows"), ENHANCEMENTS[:2])
def test_grey_image_is_enhanced_like_a_colour_image_of_equal_channels(
    ours: Callable, pillows: Callable, pattern: Callable
) -> None:
    grey = pattern(9, 12, 1)
    np.testing.assert_array_equal(np.repeat(ours(grey, 1.3), 3, axis=2), ours(np.repeat(grey, 3, axis=2), 1.3))


def test_saturation_leaves_a_grey_image(pattern: Callable) -> None:
    grey = pattern(9, 12, 1)
    assert saturation(grey, 0.2) is grey


@pytest.mark.parametrize("enhance", [brightness, contrast, saturation])
def test_factor_one_changes_nothing(enhance: Callable, pattern: Callable) -> None:
    image = pattern(9, 12)
    np.testing.assert_array_equal(enhance(image, 1.0), image)


@pytest.mark.parametrize("enhance", [brightness, contrast, saturation])
def test_image_given_is_not_written_to(enhance: Callable, pattern: Callable) -> None:
    image = pattern(9, 12)
    before = image.copy()
    enhance(image, 0.5)
    np.testing.assert_array_equal(image, before)


def test_values_by_hand() -> None:
    image = np.array([[[10, 100, 200]]], dtype=np.uint8)  # luma 84.49
    assert brightness(image, 1.5).ravel().tolist() == [15, 150, 255]
    assert contrast(image, 0.5).ravel().tolist() == [47, 92, 142]
    assert saturation(image, 2.0).ravel().tolist() == [0, 116, 255]
