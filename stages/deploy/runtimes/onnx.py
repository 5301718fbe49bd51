"""An ONNX file in ONNX Runtime, on the CPU."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import StageError
from .extras import library
from .runtime import GraphNames

EXTRA = "export"


class OnnxGraph:
    """{input: array} -> {output: array}, by the names that the file has."""

    def __init__(self, file: Path, names: GraphNames | None = None, threads: int | None = None) -> None:
        runtime = library("onnxruntime", EXTRA, file)
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = options.inter_op_num_threads = threads
        try:
            self.session: Any = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no common class
            reason = str(error).splitlines()[0]
            raise StageError(f"{file} cannot be loaded by ONNX Runtime ({reason}): export the student again") from error
        self.runtime = f"onnxruntime {runtime.__version__}"
        self._inputs = [one.name for one in self.session.get_inputs()]
        self._outputs = [one.name for one in self.session.get_outputs()]

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        said = self.session.run(None, {name: inputs[name] for name in self._inputs})
        return dict(zip(self._outputs, said, strict=True))
