"""What a target is, and which there are. A target's libraries are imported when it is asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ....errors import StageError
from ...runtimes.runtime import GraphNames, OpenGraph, open_graph
from ..graphs import TorchGraph
from ..manifest import GraphTensor

TargetName = Literal["onnx", "web", "hf", "openvino"]
TARGETS = get_args(TargetName)
_LATER = ("executorch", "litert", "coreml")
Ends = tuple[tuple[GraphTensor, ...], tuple[GraphTensor, ...]]


@dataclass(frozen=True, slots=True)
class Target:
    """`write` makes the file of a graph; it raises StageError for a missing extra and for what the format cannot say.
    `suffix` of the file's name. `ends` are a written file's inputs and outputs."""

    name: str
    suffix: str
    write: Callable[[TorchGraph, Path], None]
    ends: Callable[[TorchGraph, Path], Ends]

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
    later = " (executorch, litert and coreml are not built yet)" if name in _LATER else ""
    raise StageError(f"--to {name}: there is no such target{later}; there are {', '.join(TARGETS)}")
