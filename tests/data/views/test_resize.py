"""The plain view is resize and centre crop; a box is never squeezed."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from teachercache.data.views.resize import crop_box, plain, plain_box, resample

sides = st.integers(1, 60)


def two_steps(image: np.ndarray, size: int) -> np.ndarray:
    """Resize the whole image, then cut: what transformers and torchvision do."""
    height, width = image.shape[:2]
    short = min(height, width)
    wide, high = int(size * width / short), int(size * height / short)
    resized = Image.fromarray(image).resize((wide, high), Image.Resampling.BILINEAR)
    left, top = (wide - size) // 2, (high - size) // 2
    return np.asarray(resized)[top : top + size, left : left + size]


@settings(deadline=None, max_examples=300)
@given(height=sides, width=sides, size=st.integers(1, 40))
def test_plain_view_is_resize_and_centre_crop(height: int, width: int, size: int, pattern: Callable) -> None:
    image = pattern(height, width)
    # One level apart at most: the two divide in another order before they round to fixed point.
    assert np.abs(plain(image, size).astype(int) - two_steps(image, size)).max() <= 1


@pytest.mark.parametrize(("height", "width", "size"), [(375, 500, 224), (64, 48, 32), (28, 28, 32), (100, 100, 28)])
def test_plain_view_differs_from_two_steps_in_few_pixels(height: int, width: int, size: int, pattern: Callable) -> None:
    image = pattern(height, width)
    assert np.mean(plain(image, size) != two_steps(image, size)) < 0.003


@pytest.mark.parametrize("channels", [1, 3])
def test_image_of_the_right_size_is_returned_itself_and_equals_the_resampled(channels: int, pattern: Callable) -> None:
    image = pattern(28, 28, channels)
    assert plain(image, 28) is image
    np.testing.assert_array_equal(resample(image, plain_box(28, 28, 28), 28), image)


def test_very_long_image_costs_no_more_than_its_view(pattern: Callable) -> None:
    assert plain(pattern(1, 100_000), 224).shape == (224, 224, 3)


def test_image_that_is_a_strided_view_is_read_in_its_own_order(pattern: Callable) -> None:
    image = pattern(20, 30)
    mirrored = image[:, ::-1]
    np.testing.assert_array_equal(plain(mirrored, 8), plain(np.ascontiguousarray(mirrored), 8))


@given(height=sides, width=sides, size=st.integers(1, 40))
def test_plain_box_is_square_and_inside(height: int, width: int, size: int) -> None:
    left, top, right, bottom = plain_box(width, height, size)
    assert 0 <= left < right <= width and 0 <= top < bottom <= height
    # The longer side is resized to whole pixels, as the libraries do it: off by less than one of the view's.
    assert abs((right - left) - (bottom - top)) <= min(width, height) / size + 1e-9


@given(height=sides, width=sides, numbers=st.tuples(*[st.floats(0, 1)] * 4))
def test_crop_box_is_inside_and_has_the_drawn_aspect(height: int, width: int, numbers: tuple[float, ...]) -> None:
    wide, high = 0.01 + 0.99 * numbers[2], 0.01 + 0.99 * numbers[3]
    left, top = numbers[0] * (1 - wide), numbers[1] * (1 - high)
    box = crop_box(width, height, (left, top, wide, high))
    assert 0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height
    assert (box[2] - box[0]) / (box[3] - box[1]) == pytest.approx(wide / high, rel=1e-6)
    assert box[0] >= left * width - 1e-6 and box[2] <= (left + wide) * width + 1e-6


def test_crop_box_of_a_square_image_is_the_drawn_fractions() -> None:
    assert crop_box(64, 64, (0.25, 0.5, 0.5, 0.25)) == (16, 32, 48, 48)


def test_whole_crop_box_is_the_plain_views() -> None:
    assert crop_box(100, 60, (0, 0, 1, 1)) == plain_box(100, 60, 60) == (20, 0, 80, 60)
