"""A picture as a user has it (a path, the bytes of a file, an array, a PIL image) as uint8 pixels, decoded as in
training. It refuses what is no picture, and arrays whose range nobody knows."""

from pathlib import Path

import numpy as np
from PIL import Image

from ....data.pixels import MODES
from ....data.sample import decode_bytes, picture_pixels
from ...errors import StageError


def read_pixels(item: object, channels: int) -> np.ndarray:
    """uint8 (height, width, channels). Raises StageError or DataError, naming a file, for what is no picture."""
    if isinstance(item, str | Path):
        return decode_bytes(_file(Path(item)), channels, str(item))
    if isinstance(item, bytes):
        return decode_bytes(item, channels, "the picture")
    if isinstance(item, Image.Image):
        return picture_pixels(item, channels, "the picture")
    if isinstance(item, np.ndarray):
        return _array(item, channels)
    raise StageError(
        f"a picture is a path, the bytes of a file, a PIL image or a uint8 array, and not {type(item).__name__}"
    )


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StageError(f"{path} cannot be read ({error.strerror}): name a file that holds a picture") from error


def _array(array: np.ndarray, channels: int) -> np.ndarray:
    pixels = array[..., None] if array.ndim == 2 else array
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or 0 in pixels.shape:
        raise StageError(
            f"a picture as an array is uint8 (height, width) or (height, width, 1, 3 or 4), not {array.dtype} "
            f"{array.shape}: bring it to 0..255 with the channels last"
        )
    if pixels.shape[2] == channels:
        return pixels
    mode = {**MODES, 4: "RGBA"}[pixels.shape[2]]
    return picture_pixels(Image.frombytes(mode, pixels.shape[1::-1], pixels.tobytes()), channels, "the picture")
