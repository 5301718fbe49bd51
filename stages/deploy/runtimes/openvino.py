"""An OpenVINO file on the CPU, in float32: with AMX it would compute in bfloat16 unless it is told otherwise."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import StageError
from .extras import library
from .runtime import GraphNames

EXTRA = "openvino"


class OpenvinoGraph:
    """{input: array} -> {output: array}, by the names that the file has."""

    def __init__(self, file: Path, names: GraphNames | None = None, threads: int | None = None) -> None:
        openvino = library("openvino", EXTRA, file)
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            self.model: Any = openvino.Core().compile_model(str(file), "CPU", settings)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise StageError(f"{file} cannot be loaded by OpenVINO ({reason}): export the student again") from error
        self.runtime = f"openvino {openvino.__version__}"

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = self.model({port.any_name: inputs[port.any_name] for port in self.model.inputs})
        return {port.any_name: np.array(found[port]) for port in self.model.outputs}
