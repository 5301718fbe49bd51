"""Shards of images with texts and actions, and the settings that belong to them."""

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

FIELDS = {"caption": {"kind": "text", "ext": ["txt"]}, "move": {"kind": "array", "ext": ["npy"]}}
INPUTS = {"image": "image", "text": "caption", "action": "move"}
VIEWS = {"size": 16, "count": 2, "operations": [{"op": "flip"}]}


def write_shard(path: Path, samples: dict[str, tuple[str, np.ndarray]]) -> None:
    """Images of 20 x 24 random pixels, each with a text and an action."""
    rng = np.random.default_rng(len(samples))
    with tarfile.open(path, "w") as tar:
        for key, (text, action) in samples.items():
            image, array = io.BytesIO(), io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(image, "PNG")
            np.save(array, action)
            for ext, data in (("png", image.getvalue()), ("txt", text.encode()), ("npy", array.getvalue())):
                member = tarfile.TarInfo(f"{key}.{ext}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
