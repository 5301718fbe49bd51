"""One item of a source, and its image as pixels.

Decoding refuses what has no faithful 8-bit form (32-bit and floating-point images), every format that Pillow reads by
running another program, and images large enough to be a decompression bomb. It does not turn an image by its EXIF
orientation: neither do the pipelines that published teachers were trained with.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, UnidentifiedImageError

from .errors import DataError, UndecodableError
from .pixels import MODES, to_pixels

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "PPM", "TIFF")
_PIXELS = 89_000_000  # just under the size at which Pillow begins to warn
_FILE_REMEDY = "Give a file that opens in a picture viewer"
_SAMPLE_REMEDY = "Write it again, or leave the sample out"


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample as its shard holds it: the image is still the file's bytes, empty when the source has no images;
    `fields` holds the bytes of everything else by name; label None means unlabelled."""

    id: str
    shard: str
    image: bytes
    label: int | None
    fields: Mapping[str, bytes] = field(default_factory=dict)


def decode(sample: Sample, channels: int) -> np.ndarray:
    """The sample's image as uint8 (height, width, channels), channels 1 (grey) or 3 (RGB).

    Transparent images are laid on white, 16-bit images keep their upper 8 bits, of an animation the first frame is
    taken. Raises UndecodableError, naming shard and sample, when the bytes are no image that can be read.
    """
    return decode_bytes(sample.image, channels, f"sample {sample.id!r} of shard {sample.shard!r}", _SAMPLE_REMEDY)


def decode_bytes(data: bytes, channels: int, where: str, remedy: str = _FILE_REMEDY) -> np.ndarray:
    """The same of a file's bytes alone; `where` begins the message of a DataError, and `remedy` ends it."""
    _check_channels(channels)
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            _check_size(image)
            return to_pixels(_convert(image, MODES[channels]))
    except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them trip over
        raise UndecodableError(_explain(data, error, where, remedy)) from error


def picture_pixels(picture: Image.Image, channels: int, where: str) -> np.ndarray:
    """The same of an image that Pillow has opened already, or that was drawn."""
    _check_channels(channels)
    try:
        _check_size(picture)
        return to_pixels(_convert(picture, MODES[channels]))
    except Exception as error:  # it may be lazy: the file is read now
        raise UndecodableError(_explain(b"\0", error, where, _FILE_REMEDY)) from error


def _check_channels(channels: int) -> None:
    if channels not in MODES:
        raise DataError(f"an image has 1 (grey) or 3 (RGB) channels, not {channels}")


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > _PIXELS:
        raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels")


def _convert(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == mode and "transparency" not in image.info:
        return image
    # Pillow before 11 says I of a 16-bit PNG; every Pillow clips at 255 when it converts, which gives a white image.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"a 32-bit image (mode {image.mode}) has no one meaning in 8 bits")
    if image.has_transparency_data:
        image = _on_white(image.convert("RGBA"))
    return image.convert(mode)


def _on_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image)


def _explain(data: bytes, error: Exception, where: str, remedy: str) -> str:
    if not data:
        return f"{where}: its image is empty (0 bytes). {remedy}"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"{where}: its image is too large ({error}); at most {_PIXELS} pixels are read. Shrink it first"
    if isinstance(error, UnidentifiedImageError):
        return f"{where}: its {len(data)} bytes are none of {', '.join(_FORMATS)}. Convert it, or leave it out"
    return f"{where}: its image cannot be decoded ({error}). {remedy}"
