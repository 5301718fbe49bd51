"""A graph as a CoreML package (.mlpackage) for iOS 17 and macOS 14 or later: float32, a free batch up to 32, a free
length. It is written on any system, and run on macOS alone. Integers have 32 bits in it. It refuses operators that
CoreML does not have.
"""

from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ....errors import StageError
from ...runtimes.coreml import EXTRA
from ...runtimes.extras import library
from ..check import TOLERANCE, check_graph
from ..ends import graph_ends
from ..graphs import TorchGraph
from ..manifest import GraphTensor
from ..probes import probe_inputs
from .executorch_file import MOST, quietly, takes
from .onnx_file import reason
from .target import Ends


def write_coreml(graph: TorchGraph, file: Path) -> None:
    """Write a graph. Raises StageError for a missing library and for what CoreML cannot say."""
    with quietly():
        coremltools = library("coremltools", EXTRA)
        try:
            _convert(coremltools, graph, file)
        except Exception as error:  # coremltools raises many kinds
            raise StageError(
                f"this student cannot be exported to CoreML: {reason(error)}; another target may take it, such as onnx"
            ) from error


def _convert(coremltools: Any, graph: TorchGraph, file: Path) -> None:
    traced = _traced(graph)
    with redirect_stderr(StringIO()):  # bars of progress
        made = _made(coremltools, traced, graph)
    made.save(str(file))


def _made(coremltools: Any, traced: Any, graph: TorchGraph) -> Any:
    return coremltools.convert(
        traced,
        convert_to="mlprogram",
        inputs=[_input(coremltools, graph, name) for name in graph.inputs],
        outputs=[coremltools.TensorType(name=name) for name in graph.outputs],
        minimum_deployment_target=coremltools.target.iOS17,
        compute_precision=coremltools.precision.FLOAT32,
        skip_model_load=True,
    )


def _traced(graph: TorchGraph) -> Any:
    """TorchScript of the graph, of which coremltools knows more operators than of torch.export's programs. A trace
    keeps as numbers what was computed from sizes outside of torch: it is run at other batches and lengths."""
    example = probe_inputs(graph.inputs, 3, 0, graph.fixed_length)
    with torch.no_grad():
        traced = torch.jit.trace(graph.module, tuple(example.values()), check_trace=False)

    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with torch.no_grad():
            said = traced(*(torch.from_numpy(inputs[name]) for name in graph.inputs))
        return {name: values.numpy() for name, values in zip(graph.outputs, said, strict=True)}

    check_graph(graph, run, TOLERANCE, "its trace")
    return traced


def _input(coremltools: Any, graph: TorchGraph, name: str) -> Any:
    sides = [coremltools.RangeDim(1, most) if free else most for most, free in takes(graph, MOST)[name]]
    dtype = np.float32 if graph.inputs[name].dtype == "float32" else np.int32
    return coremltools.TensorType(name=name, shape=coremltools.Shape(sides), dtype=dtype)


def coreml_ends(graph: TorchGraph, file: Path) -> Ends:
    """As torch has them, but for integers."""
    inputs, outputs = graph_ends(graph, file)
    return tuple(map(_narrow, inputs)), tuple(map(_narrow, outputs))


def _narrow(tensor: GraphTensor) -> GraphTensor:
    return replace(tensor, dtype="int32") if tensor.dtype == "int64" else tensor
