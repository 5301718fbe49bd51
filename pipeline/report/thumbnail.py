"""A picture small enough for the page: PNG as a data URI, shrunk when it is large, left as it is when it is small."""

import base64
import io

import numpy as np
from PIL import Image

LARGEST = 128  # pixels a side; the page enlarges smaller ones without smoothing


def png_uri(view: np.ndarray) -> str:
    """`data:image/png;base64,...` of a uint8 (H, W, 1 or 3) view."""
    image = Image.fromarray(view[:, :, 0] if view.shape[2] == 1 else view)
    image.thumbnail((LARGEST, LARGEST), Image.Resampling.BOX)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
