"""A CoreML package on the CPU of a Mac. It refuses every other system: CoreML is a part of macOS."""

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import StageError
from .extras import library
from .runtime import GraphNames

EXTRA = "coreml"


def runs_here() -> bool:
    """Whether this system has CoreML."""
    return platform.system() == "Darwin"


class CoremlGraph:
    """{input: array} -> {output: array}, by the names that the file has. CoreML chooses its threads itself."""

    def __init__(self, file: Path, names: GraphNames, threads: int | None = None) -> None:
        if not runs_here():
            raise StageError(
                f"{file}: CoreML runs on macOS alone; run it on a Mac. Here its checkpoint answers, or an export to "
                "another target"
            )
        coremltools = library("coremltools", EXTRA, file)
        try:
            self._model: Any = coremltools.models.MLModel(str(file), compute_units=coremltools.ComputeUnit.CPU_ONLY)
        except Exception as error:  # its errors have no common class
            raise StageError(f"{file} cannot be loaded by CoreML ({error}): export the student again") from error
        self._names, self.runtime = names, f"coremltools {coremltools.__version__}"

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = self._model.predict({name: _narrow(inputs[name]) for name in self._names.inputs})
        return {name: np.asarray(found[name]) for name in self._names.outputs}


def _narrow(values: np.ndarray) -> np.ndarray:
    """CoreML knows no integers of 64 bits."""
    return values.astype(np.int32) if values.dtype == np.int64 else values
