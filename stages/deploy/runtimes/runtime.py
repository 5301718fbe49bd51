"""What runs an exported graph, by the target that it was exported to. A runtime is imported when it is asked for.

It refuses targets that nothing on this machine runs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ...errors import StageError


@dataclass(frozen=True, slots=True)
class GraphNames:
    """Inputs and outputs in the order in which the graph takes and gives them; some formats know no names."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class OpenGraph(Protocol):
    """A graph in its runtime."""

    @property
    def runtime(self) -> str:
        """The runtime's name and version."""
        ...

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """{output: array} of {input: array}; inputs that it does not have are left out."""
        ...


Open = Callable[[Path, GraphNames, int | None], OpenGraph]


def open_graph(target: str, file: Path, names: GraphNames, threads: int | None = None) -> OpenGraph:
    """The graph in `file`. `threads` pins those of the runtime. Raises StageError for a missing extra, for a file that
    cannot be loaded and for a target that nothing here runs."""
    opener = _opener(target)
    if opener is None:
        raise StageError(f"{file}: nothing on this machine runs an export to {target}")
    return opener(file, names, threads)


def _opener(target: str) -> Open | None:
    if target in ("onnx", "web"):
        from .onnx import OnnxGraph

        return OnnxGraph
    if target == "openvino":
        from .openvino import OpenvinoGraph

        return OpenvinoGraph
    if target == "litert":
        from .litert import LitertGraph

        return LitertGraph
    if target == "executorch":
        from .executorch import ExecutorchGraph

        return ExecutorchGraph
    if target == "coreml":
        from .coreml import CoremlGraph

        return CoremlGraph
    return None
