"""What a target is, and which there are. A target's libraries are imported when it is asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from ....errors import StageError
from ...runtimes.runtime import GraphNames, OpenGraph, open_graph
from ..graphs import TorchGraph
from ..manifest import GraphTensor

TargetName = Literal["onnx", "web", "hf", "openvino", "litert", "executorch", "coreml"]
TARGETS = get_args(TargetName)
Ends = tuple[tuple[GraphTensor, ...], tuple[GraphTensor, ...]]


@dataclass(frozen=True, slots=True)
class Target:
    """`write` makes the file of a graph; it raises StageError for a missing extra and for what the format cannot say.
    `suffix` of the file's name. `ends` are a written file's inputs and outputs. `fixed_length` of a format whose graphs
    take texts and sequences of one length; `runs_here` where this machine can run what it writes."""

    name: str
    suffix: str
    write: Callable[[TorchGraph, Path], None]
    ends: Callable[[TorchGraph, Path], Ends]
    fixed_length: bool = False
    runs_here: bool = True

    def fitted(self, graphs: Mapping[str, TorchGraph]) -> dict[str, TorchGraph]:
        """The graphs as this format can hold them."""
        return {name: replace(one, fixed_length=one.fixed_length or self.fixed_length) for name, one in graphs.items()}

    def open(self, graph: TorchGraph, file: Path, threads: int | None = None) -> OpenGraph:
        """The written graph in its runtime. Raises StageError where nothing here runs it."""
        return open_graph(self.name, file, GraphNames(tuple(graph.inputs), graph.outputs), threads)


def target_of(name: str) -> Target:
    """A target by its name. Raises StageError for one that there is not."""
    if name in ("onnx", "web"):
        from .onnx_file import onnx_ends, write_onnx

        return Target(name, ".onnx", write_onnx, onnx_ends)
    if name == "openvino":
        from .openvino_file import openvino_ends, write_openvino

        return Target(name, ".xml", write_openvino, openvino_ends)
    if name == "litert":
        from .litert_file import litert_ends, write_litert

        return Target(name, ".tflite", write_litert, litert_ends, fixed_length=True)
    if name == "executorch":
        from ..ends import graph_ends
        from .executorch_file import write_executorch

        return Target(name, ".pte", write_executorch, graph_ends)
    if name == "coreml":
        from ...runtimes.coreml import runs_here
        from .coreml_file import coreml_ends, write_coreml

        return Target(name, ".mlpackage", write_coreml, coreml_ends, runs_here=runs_here())
    raise StageError(f"--to {name}: there is no such target; there are {', '.join(TARGETS)}")
