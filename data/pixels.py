"""Between arrays and Pillow's images, through plain buffers: numpy's array protocol costs more than a small image.

It refuses every type but 8 bits in 1 (grey) or 3 (RGB) channels: callers convert first.
"""

import numpy as np
from PIL import Image

MODES = {1: "L", 3: "RGB"}


def to_picture(pixels: np.ndarray) -> Image.Image:
    """uint8 (height, width, channels), channels 1 or 3, as a Pillow image, which may share the memory."""
    height, width, channels = pixels.shape
    mode = MODES[channels]
    return Image.frombuffer(mode, (width, height), np.ascontiguousarray(pixels), "raw", mode, 0, 1)


def to_pixels(picture: Image.Image) -> np.ndarray:
    """An image of mode L or RGB as uint8 (height, width, channels), writable: torch warns of memory that is not."""
    flat = np.frombuffer(bytearray(picture.tobytes()), dtype=np.uint8)
    return flat.reshape(picture.height, picture.width, -1)
