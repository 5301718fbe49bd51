"""The graphs of a student that writes, as ONNX files; and those files as what `writing.py` runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...runtimes.extras import library
from ...runtimes.onnx import EXTRA, OnnxGraph
from ..targets.onnx_file import write_module
from .parts import Part
from .writing import Run

_SUM = "past+length"


def write_part(part: Part, file: Path) -> None:
    """Write one graph. Raises StageError for what ONNX cannot say."""
    with torch.no_grad():
        write_module(part.module, part.example, {n: _free(axes) for n, axes in part.axes.items()}, part.outputs, file)
    _name_sums(part, file)


def open_parts(folder: Path, names: Mapping[str, Any], threads: int | None = None) -> Run:
    """`run(name, inputs)` of the files in a folder."""
    graphs = {name: OnnxGraph(folder / f"{name}.onnx", threads=threads) for name in names}

    def run(name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return graphs[name](inputs)

    return run


def _free(axes: Mapping[int, str]) -> dict[int, Any]:
    return {axis: torch.export.Dim.DYNAMIC if name == _SUM else torch.export.Dim(name) for axis, name in axes.items()}


def _name_sums(part: Part, file: Path) -> None:
    """torch has no name for an axis that is as long as two others: it gets one, in the mask and in what is kept."""
    onnx = library("onnx", EXTRA)
    model = onnx.load(file)
    for tensor in (*model.graph.input, *model.graph.output):
        for axis, side in enumerate(tensor.type.tensor_type.shape.dim):
            kept = tensor.name.startswith("present.") and axis == 2
            if kept or part.axes.get(tensor.name, {}).get(axis) == _SUM:
                side.dim_param = _SUM
    onnx.save(model, file)
