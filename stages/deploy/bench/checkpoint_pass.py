"""A finished student as the measuring process runs it: torch, float32, noise of the shapes that it takes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from ..evaluation.candidate import load_model, read_candidate
from ..measuring.macs import multiply_accumulates
from ..measuring.noise import noise_inputs


class CheckpointPass:
    """Loaded on the CPU with `request["threads"]` threads."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        torch.set_num_threads(request["threads"])
        candidate = read_candidate(Path(request["folder"]))
        self._model = load_model(candidate, torch.device("cpu"), candidate.saved.outputs)
        self._shapes = candidate.saved.shape.completed(candidate.saved.student).inputs
        self.runtime = f"torch {torch.__version__}"

    def batch(self, size: int) -> Callable[[], object]:
        """One forward pass of `size` rows."""
        inputs = noise_inputs(self._shapes, size)

        def run() -> object:
            with torch.inference_mode():
                return self._model(inputs)

        return run

    def macs(self) -> int:
        """Multiply-accumulates of one row, with eager attention: the counter knows too little of the fused one."""
        return multiply_accumulates(self._model, noise_inputs(self._shapes, 1))
