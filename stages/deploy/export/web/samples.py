"""Pictures that a page offers to try, with what the exported graph says of them here: so a visitor sees whether the
browser says the same.

They are decoded as in training and written as PNG, so that every browser sees the very same pixels. Only pictures that
somebody names are shipped: data that a student learnt from may be private.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .....data.pixels import to_picture
from ....errors import StageError
from ...predict.pictures import read_pixels
from ...runtimes.onnx import OnnxGraph
from ..preprocess import Preprocessing

MOST = 32


def read_samples(paths: Sequence[Path], channels: int) -> list[np.ndarray]:
    """uint8 (height, width, channels) of each. Raises StageError or DataError naming the file that is no picture."""
    if len(paths) > MOST:
        raise StageError(f"--sample: {len(paths)} pictures are too many for a page, {MOST} are the most")
    return [read_pixels(path, channels) for path in paths]


def write_samples(folder: Path, graph: str, names: Sequence[str], pixels: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    """Write them beside the graph in an export's folder; [{file, name, logits}] for web.json."""
    if not pixels:
        return []
    (folder / "samples").mkdir()
    files = [f"samples/{number}.png" for number in range(len(pixels))]
    for file, picture in zip(files, pixels, strict=True):
        to_picture(picture).save(folder / file)
    logits = _said(folder, graph, files)
    return [
        {"file": file, "name": name, "logits": [float(value) for value in row]}
        for file, name, row in zip(files, names, logits, strict=True)
    ]


def _said(folder: Path, graph: str, files: Sequence[str]) -> np.ndarray:
    """float32 (B, classes), one picture at a time as in the browser."""
    prepare, session = Preprocessing(folder), OnnxGraph(folder / graph, threads=1)
    (name,) = _inputs(folder)
    rows = [session(prepare.inputs({name: [folder / file]}))["logits"] for file in files]
    return np.concatenate(rows)


def _inputs(folder: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads((folder / "preprocessing.json").read_text("utf-8"))["inputs"]
    return found
