"""Decoding: whatever Pillow can faithfully turn into 8 bits, and one clear error for the rest."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from teachercache.data import DataError, Sample, decode


def sample(image: bytes) -> Sample:
    return Sample("cat/0001", "train-0003", image, None)


@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_image_is_decoded_as_it_was(channels: int, encode: Callable, pattern: Callable) -> None:
    image = pattern(5, 7, channels)
    decoded = decode(sample(encode(image)), channels)
    assert decoded.dtype == np.uint8 and decoded.flags.writeable
    np.testing.assert_array_equal(decoded, image)


def test_grey_file_read_as_rgb_repeats_its_values(encode: Callable, pattern: Callable) -> None:
    grey = pattern(5, 7, 1)
    np.testing.assert_array_equal(decode(sample(encode(grey)), 3), np.repeat(grey, 3, axis=2))


def test_colour_file_read_as_grey_is_its_luma(encode: Callable) -> None:
    image = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], dtype=np.uint8)
    assert decode(sample(encode(image)), 1).ravel().tolist() == [76, 150, 29, 255]


@pytest.mark.parametrize("channels", [1, 3])
def test_transparent_pixels_become_white_whatever_they_hide(channels: int, encode: Callable) -> None:
    image = np.array([[[0, 0, 0, 0], [0, 0, 0, 255]]], dtype=np.uint8)
    decoded = decode(sample(encode(image)), channels)
    assert decoded[0, 0].tolist() == [255] * channels and decoded[0, 1].tolist() == [0] * channels


def test_transparent_palette_entry_becomes_white(encode: Callable) -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    decoded = decode(sample(encode(palette, transparency=0)), 3)
    assert decoded.tolist() == [[[255, 255, 255], [40, 50, 60]]]


def test_transparent_colour_of_an_rgb_file_becomes_white(encode: Callable) -> None:
    image = Image.new("RGB", (1, 1), (10, 20, 30))
    assert decode(sample(encode(image, transparency=(10, 20, 30))), 3).tolist() == [[[255, 255, 255]]]


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bit_image_keeps_its_upper_bits(channels: int, encode: Callable) -> None:
    deep = np.array([[0, 255, 256, 32768, 65535]], dtype=np.uint16)
    decoded = decode(sample(encode(deep)), channels)
    assert decoded[0, :, 0].tolist() == [0, 0, 1, 128, 255]


def test_animation_gives_its_first_frame(encode: Callable) -> None:
    frames = [Image.new("L", (4, 4), level) for level in (10, 200)]
    decoded = decode(sample(encode(frames[0], "GIF", save_all=True, append_images=frames[1:])), 1)
    assert set(decoded.ravel().tolist()) == {10}


@pytest.mark.parametrize("fmt", ["PNG", "JPEG", "WEBP", "BMP", "PPM", "TIFF"])
def test_format_is_read(fmt: str, encode: Callable, pattern: Callable) -> None:
    assert decode(sample(encode(pattern(6, 4), fmt)), 3).shape == (6, 4, 3)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (b"", "empty"),
        (b"this is a text", "none of PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "none of PNG"),
    ],
)
def test_bytes_that_are_no_image_are_named(image: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as error:
        decode(sample(image), 3)
    assert "'cat/0001'" in str(error.value) and "'train-0003'" in str(error.value)


@pytest.mark.parametrize("fmt", ["PNG", "JPEG", "WEBP"])
def test_image_cut_short_is_named(fmt: str, encode: Callable, pattern: Callable) -> None:
    whole = encode(pattern(64, 64), fmt)
    with pytest.raises(DataError, match="'cat/0001' of shard 'train-0003'.*cannot be decoded"):
        decode(sample(whole[: len(whole) // 2]), 3)


def test_decompression_bomb_is_refused_before_its_pixels_are_made() -> None:
    header = io.BytesIO()
    Image.new("1", (1, 1)).save(header, "PNG")
    bomb = bytearray(header.getvalue())
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2
    import zlib

    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    with pytest.raises(DataError, match="too large"):
        decode(sample(bytes(bomb)), 3)


def test_float_image_is_refused(encode: Callable) -> None:
    with pytest.raises(DataError, match="32-bit image"):
        decode(sample(encode(Image.new("F", (2, 2)), "TIFF")), 1)


def test_channel_count_other_than_one_and_three_is_refused(encode: Callable, pattern: Callable) -> None:
    with pytest.raises(DataError, match="not 4"):
        decode(sample(encode(pattern(2, 2))), 4)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_damaged_file_gives_pixels_or_a_data_error(data: st.DataObject, encode: Callable, pattern: Callable) -> None:
    whole = bytearray(
        encode(pattern(16, 16), data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])))
    )
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = decode(sample(bytes(whole)), 3)
    except DataError as error:
        assert "'cat/0001'" in str(error)
    else:
        assert decoded.dtype == np.uint8 and decoded.shape[2] == 3
