"""What a shape costs before it is trained: size, work and latency of a student with random weights."""

from collections.abc import Mapping

import torch

from ...student.inputs.shape import blank_inputs
from ...student.models.builders import StudentShape, build_student
from ...student.spec import StudentSpec
from ..measuring.latency import latency
from ..measuring.macs import multiply_accumulates
from ..measuring.size import model_size, weight_bytes
from .spec import Cost, LimitsSpec

_RUNS = 30


def costs_of(
    spec: StudentSpec, shape: StudentShape, outputs: tuple[str, ...], device: torch.device
) -> dict[Cost, float]:
    """Every cost of a student; its latency on `device`, of one row. Raises StageError for one that cannot be built."""
    shape = shape.completed(spec)
    student = build_student(spec, shape, outputs, 0).eval()
    macs = multiply_accumulates(student, blank_inputs(shape.inputs, 1))
    found: dict[Cost, float] = {"parameters": model_size(student).total, "bytes": weight_bytes(student), "macs": macs}
    student, row = student.to(device), blank_inputs(shape.inputs, 1, device)
    with torch.inference_mode():
        found["latency_ms"] = latency(lambda: student(row), 1, _RUNS, device)["p50_ms"]
    return found


def above_limits(costs: Mapping[Cost, float], limits: LimitsSpec) -> str | None:
    """Which limits a student breaks, in words; None for none."""
    found = [
        f"{name} {costs[name]:,.6g} above {limit:,.6g}"
        for name in costs
        if (limit := getattr(limits, name)) is not None and costs[name] > limit
    ]
    return ", ".join(found) or None
