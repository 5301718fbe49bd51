"""A graph as OpenVINO's .xml and .bin, made of its ONNX file.

On CPUs with AMX OpenVINO would compute in bfloat16 unless it is told otherwise: here it is told float32.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .extras import library
from .graphs import TorchGraph
from .manifest import GraphTensor
from .onnx_file import write_onnx

EXTRA = "openvino"


def write_openvino(graph: TorchGraph, file: Path) -> None:
    """Write `file` (.xml) and its weights beside it. Raises StageError for a missing library."""
    openvino = library("openvino", EXTRA)
    between = file.with_suffix(".onnx")
    write_onnx(graph, between)
    try:
        openvino.save_model(openvino.convert_model(str(between)), str(file), compress_to_fp16=False)
    finally:
        between.unlink()


class OpenvinoGraph:
    """An OpenVINO file on the CPU in float32."""

    def __init__(self, file: Path) -> None:
        core = library("openvino", EXTRA).Core()
        self._model = core.compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        feed = {port.any_name: inputs[port.any_name] for port in self._model.inputs}
        found = self._model(feed)
        return {port.any_name: np.array(found[port]) for port in self._model.outputs}

    def ends(self) -> tuple[tuple[GraphTensor, ...], tuple[GraphTensor, ...]]:
        """Inputs and outputs; a free axis is `batch` in first place, else `length`."""
        inputs, outputs = (
            tuple(GraphTensor(port.any_name, _DTYPES[port.element_type.get_type_name()], _shape(port)) for port in side)
            for side in (self._model.inputs, self._model.outputs)
        )
        return inputs, outputs


_DTYPES = {"f32": "float32", "i64": "int64", "boolean": "bool", "f16": "float16", "i32": "int32"}


def _shape(port: object) -> tuple[int | str, ...]:
    sides = enumerate(port.partial_shape)  # type: ignore[attr-defined]
    return tuple(("length" if place else "batch") if side.is_dynamic else side.get_length() for place, side in sides)
