"""An exported folder of ONNX files as a model to ask, in ONNX Runtime on the CPU. No torch is imported."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import StageError, StageFailed
from .preparation import read_document, read_preparation

DOCUMENT, _FORMAT = "export.json", 1


class OnnxModel:
    """The `Model` of an exported folder, float or int8, of one graph or two towers."""

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        """Raises StageError when it cannot be loaded, or without ONNX Runtime."""
        content = read_document(folder / DOCUMENT, _FORMAT)
        if content["target"] not in ("onnx", "web"):
            raise StageError(f"{folder} is exported to {content['target']}: a predictor reads `--to onnx`")
        self.place, self.classes = str(folder), _classes(folder)
        self.readings = read_preparation(folder)
        self._sessions = {name: _session(folder / graph["file"], threads) for name, graph in content["graphs"].items()}
        self._inputs = {
            name: frozenset(one["name"] for one in graph["inputs"]) for name, graph in content["graphs"].items()
        }

    def outputs(self, given: frozenset[str]) -> tuple[str, ...]:
        return tuple(one.name for name in self._graphs(given) for one in self._sessions[name].get_outputs())

    def run(self, inputs: Mapping[str, np.ndarray], given: frozenset[str]) -> dict[str, np.ndarray]:
        said: dict[str, np.ndarray] = {}
        for name in self._graphs(given):
            asked = {one: inputs[one] for one in self._inputs[name]}
            session = self._sessions[name]
            try:
                values = session.run(None, asked)
            except Exception as error:  # the runtime's own kinds of errors
                shapes = ", ".join(f"{one} {array.shape}" for one, array in asked.items())
                raise StageFailed(f"{self.place}: graph {name!r} fails on {shapes}: {error}") from error
            said |= {one.name: array for one, array in zip(session.get_outputs(), values, strict=True)}
        return said

    def _graphs(self, given: frozenset[str]) -> list[str]:
        """Graphs whose own inputs are all given; masks and lengths come with them."""
        return [name for name, takes in self._inputs.items() if takes & self.readings.keys() <= given]


def _classes(folder: Path) -> tuple[str, ...]:
    import json

    path = folder / "labels.json"
    try:
        return tuple(map(str, json.loads(path.read_bytes())))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError) as error:
        raise StageError(f"{path} cannot be read ({error}): export the student again") from error


def _session(path: Path, threads: int | None) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise StageError(
            f"{path} needs ONNX Runtime, which is not installed: pip install 'teachercache[export]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = options.inter_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own kinds of errors
        raise StageError(f"{path} cannot be loaded by ONNX Runtime ({error}): export the student again") from error
