"""A LiteRT file on the CPU, row by row: its graph takes one row, and any other batch would need another graph.

It refuses rows of another shape than the file's: LiteRT would resize the graph, whose shapes inside stay as they are.
"""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import StageError
from .extras import library
from .runtime import GraphNames

EXTRA = "litert"


class LitertGraph:
    """{input: array (B, ...)} -> {output: array (B, ...)}, by the names of the file's one signature."""

    def __init__(self, file: Path, names: GraphNames | None = None, threads: int | None = None) -> None:
        litert = library("ai_edge_litert.interpreter", EXTRA, file)
        try:
            self._interpreter: Any = litert.Interpreter(str(file), num_threads=threads)
            self.inputs, self.outputs = _ends(self._interpreter)
            self._interpreter.allocate_tensors()
        except Exception as error:  # its errors have no common class
            reason = str(error).strip().splitlines()[0]
            raise StageError(f"{file} cannot be loaded by LiteRT ({reason}): export the student again") from error
        self.runtime = f"ai-edge-litert {version('ai-edge-litert')}"

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        own = {name: inputs[name].astype(one["dtype"], copy=False) for name, one in self.inputs.items()}
        rows = [self._row(own, place) for place in range(len(next(iter(own.values()))))]
        return {name: np.concatenate([row[name] for row in rows]) for name in self.outputs}

    def holds(self, dtype: type[np.generic]) -> bool:
        """Whether a tensor of more than one axis has this dtype, as weights do."""
        return any(one["dtype"] is dtype and len(one["shape"]) > 1 for one in self._interpreter.get_tensor_details())

    def _row(self, inputs: Mapping[str, np.ndarray], place: int) -> dict[str, np.ndarray]:
        for name, one in self.inputs.items():
            self._interpreter.set_tensor(one["index"], inputs[name][place : place + 1])
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(one["index"]) for name, one in self.outputs.items()}


def _ends(interpreter: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """{name: index, dtype, shape} of inputs and outputs. What runs a signature must be gone before memory is taken."""
    signature = interpreter.get_signature_runner()
    return signature.get_input_details(), signature.get_output_details()
