"""A graph as a CoreML package (.mlpackage) for iOS 17 and macOS 14 or later: float32, a free batch up to 32, a free
length. It is written on any system, and run on macOS alone. Integers have 32 bits in it. It refuses operators that
CoreML does not have.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ....errors import StageError
from ...runtimes.coreml import EXTRA
from ...runtimes.library import library
from ..ends import graph_ends
from ..graphs import TorchGraph
from ..manifest import GraphTensor
from .executorch_file import MOST, exported_program, quietly
from .onnx_file import reason
from .target import Ends


def write_coreml(graph: TorchGraph, file: Path) -> None:
    """Write a graph. Raises StageError for a missing library and for what CoreML cannot say."""
    with quietly():
        coremltools = library("coremltools", EXTRA)
        try:
            _convert(coremltools, graph, file)
        except Exception as error:  # torch.export and coremltools raise kinds of their own
            raise StageError(f"this student cannot be exported to CoreML: {reason(error)}") from error


def _convert(coremltools: Any, graph: TorchGraph, file: Path) -> None:
    program = exported_program(graph.module, graph, MOST).run_decompositions({})
    made = coremltools.convert(
        program,
        convert_to="mlprogram",
        outputs=[coremltools.TensorType(name=name) for name in graph.outputs],
        minimum_deployment_target=coremltools.target.iOS17,
        compute_precision=coremltools.precision.FLOAT32,
        skip_model_load=True,
    )
    spec = made.get_spec()
    for given, name in zip(program.graph_signature.user_inputs, graph.inputs, strict=True):
        coremltools.utils.rename_feature(spec, given, name, rename_outputs=False)
    coremltools.models.MLModel(spec, weights_dir=made.weights_dir, skip_model_load=True).save(str(file))


def coreml_ends(graph: TorchGraph, file: Path) -> Ends:
    """As torch has them, but for integers."""
    inputs, outputs = graph_ends(graph, file)
    return tuple(map(_narrow, inputs)), tuple(map(_narrow, outputs))


def _narrow(tensor: GraphTensor) -> GraphTensor:
    return replace(tensor, dtype="int32") if tensor.dtype == "int64" else tensor
