"""A graph as OpenVINO's .xml and .bin, made of its ONNX file."""

from pathlib import Path

from ...runtimes.extras import library
from ...runtimes.openvino import EXTRA, OpenvinoGraph
from ..graphs import TorchGraph
from ..manifest import GraphTensor
from .onnx_file import write_onnx


def write_openvino(graph: TorchGraph, file: Path) -> None:
    """Write `file` (.xml) and its weights beside it. Raises StageError for a missing library."""
    openvino = library("openvino", EXTRA)
    between = file.with_suffix(".onnx")
    write_onnx(graph, between)
    try:
        openvino.save_model(openvino.convert_model(str(between)), str(file), compress_to_fp16=False)
    finally:
        between.unlink()


def openvino_ends(graph: TorchGraph, file: Path) -> tuple[tuple[GraphTensor, ...], tuple[GraphTensor, ...]]:
    """Inputs and outputs as the file says them; a free axis is `batch` in first place, else `length`."""
    model = OpenvinoGraph(file).model
    inputs, outputs = (
        tuple(GraphTensor(port.any_name, _DTYPES[port.element_type.get_type_name()], _shape(port)) for port in side)
        for side in (model.inputs, model.outputs)
    )
    return inputs, outputs


_DTYPES = {"f32": "float32", "i64": "int64", "boolean": "bool", "f16": "float16", "i32": "int32"}


def _shape(port: object) -> tuple[int | str, ...]:
    sides = enumerate(port.partial_shape)  # type: ignore[attr-defined]
    return tuple(("length" if place else "batch") if side.is_dynamic else side.get_length() for place, side in sides)
