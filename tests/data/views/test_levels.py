"""Effects on levels, against Pillow's ImageOps."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from teachercache.data.views.colour import sharpness
from teachercache.data.views.levels import autocontrast, equalize, posterize, solarize


@given(seed=st.integers(0, 99), channels=st.sampled_from([1, 3]), amount=st.integers(1, 8))
def test_levels_are_pillows(seed: int, channels: int, amount: int, pattern: Callable) -> None:
    image = pattern(19, 23, channels, seed=seed)
    picture = Image.fromarray(image.squeeze())
    pairs = [
        (posterize(image, amount), ImageOps.posterize(picture, amount), 0),
        (solarize(image, 30 * amount), ImageOps.solarize(picture, 30 * amount), 0),
        (equalize(image), ImageOps.equalize(picture), 0),
        (autocontrast(image), ImageOps.autocontrast(picture), 1),  # Pillow's floats may cut off one level more
    ]
    for ours, pillows, tolerance in pairs:
        difference = ours.astype(int) - np.asarray(pillows).reshape(image.shape)
        assert np.abs(difference).max() <= tolerance


@given(factor=st.floats(0, 2), seed=st.integers(0, 99))
def test_sharpness_is_pillows_but_for_rounding(factor: float, seed: int, pattern: Callable) -> None:
    image = pattern(9, 12, seed=seed)
    expected = np.asarray(ImageEnhance.Sharpness(Image.fromarray(image)).enhance(factor)).astype(int)
    assert np.abs(sharpness(image, factor).astype(int) - expected).max() <= 2


@pytest.mark.parametrize("effect", [autocontrast, equalize])
def test_image_of_one_level_stays(effect: Callable) -> None:
    image = np.full((4, 5, 3), 77, np.uint8)
    np.testing.assert_array_equal(effect(image), image)
