"""The process in which one model is measured: loads it, times it, prints one line of JSON.

A process of its own, so that neither the other students nor the stream weigh on the figures. It is the only part of
this room that may load a teacher, and only when it is asked to.

    python -m teachercache.stages.deploy.measuring.measure_child '{"kind": "student", "folder": ..., ...}'
"""

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...errors import StageError
from .latency import latency
from .memory import PeakMemory
from .noise import noise_inputs
from .size import model_size, weight_bytes


@dataclass(frozen=True, slots=True)
class Subject:
    """A model on its device; `inputs(n)` makes a batch of n on the CPU, `run` does one forward pass."""

    model: nn.Module
    inputs: Callable[[int], Mapping[str, torch.Tensor]]
    run: Callable[[Mapping[str, torch.Tensor]], object]


def measure(request: Mapping[str, Any]) -> dict[str, Any]:
    """Latency and memory at `request["batches"]`, size, and the machine. Raises StageError when it cannot be loaded."""
    device = torch.device(request["device"])
    torch.set_num_threads(request["threads"])
    subject = SUBJECTS[request["kind"]](request, device)
    with torch.inference_mode():
        peak = PeakMemory(subject.model, device)
        found = {str(batch): _timed(subject, batch, request["runs"], device) for batch in request["batches"]}
        return {
            "latency": found,
            "peak_memory_mb": peak.megabytes(),
            "parameters": asdict(model_size(subject.model)),
            "bytes": weight_bytes(subject.model),
            "machine": {"device": _name(device), "threads": torch.get_num_threads(), "torch": torch.__version__},
        }


def _timed(subject: Subject, batch: int, runs: int, device: torch.device) -> dict[str, float]:
    inputs = {name: values.to(device) for name, values in subject.inputs(batch).items()}
    return latency(lambda: subject.run(inputs), batch, runs, device)


def _student(request: Mapping[str, Any], device: torch.device) -> Subject:
    """A finished student in float32, given what it is given in evaluation."""
    from ..evaluation.candidate import load_model, read_candidate

    candidate = read_candidate(Path(request["folder"]))
    model = load_model(candidate, device, tuple(request["outputs"]))
    shapes = candidate.saved.shape.completed(candidate.saved.student).inputs
    return Subject(model, lambda batch: noise_inputs(shapes, batch), model)


def _teacher(request: Mapping[str, Any], device: torch.device) -> Subject:
    """The teacher as phase one runs it; loading it is this process's matter alone."""
    from .teacher_subject import teacher_subject

    found = teacher_subject(request, device)
    return Subject(found.model, found.inputs, found.run)


SUBJECTS: dict[str, Callable[[Mapping[str, Any], torch.device], Subject]] = {"student": _student, "teacher": _teacher}


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def main(arguments: list[str]) -> int:
    """Measure what the one argument asks for. Exit codes as everywhere, 2 for bad input."""
    try:
        with redirect_stdout(sys.stderr):  # a user's model may print
            found = measure(json.loads(arguments[0]))
    except StageError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(json.dumps(found, allow_nan=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
