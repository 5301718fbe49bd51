"""What a target is, and which there are. A target's libraries are imported when it is asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np

from ...errors import StageError
from .graphs import TorchGraph
from .manifest import GraphTensor

TargetName = Literal["onnx", "web", "hf", "openvino"]
TARGETS = get_args(TargetName)
_LATER = ("executorch", "litert", "coreml")


class OpenGraph(Protocol):
    """A graph in its runtime."""

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """{output: array} of {input: array}; inputs that it does not have are left out."""
        ...

    def ends(self) -> tuple[tuple[GraphTensor, ...], tuple[GraphTensor, ...]]:
        """Inputs and outputs."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """`write` makes the file of a graph, `open` its graph in the runtime; `open` None where this machine cannot run it.
    `suffix` of the file's name. Both raise StageError for a missing extra."""

    suffix: str
    write: Callable[[TorchGraph, Path], None]
    open: Callable[[Path], OpenGraph] | None


def target_of(name: str) -> Target:
    """A target by its name. Raises StageError for one that there is not."""
    if name in ("onnx", "web"):
        from .onnx_file import OnnxGraph, write_onnx

        return Target(".onnx", write_onnx, OnnxGraph)
    if name == "openvino":
        from .openvino_file import OpenvinoGraph, write_openvino

        return Target(".xml", write_openvino, OpenvinoGraph)
    later = " (executorch, litert and coreml are not built yet)" if name in _LATER else ""
    raise StageError(f"--to {name}: there is no such target{later}; there are {', '.join(TARGETS)}")
