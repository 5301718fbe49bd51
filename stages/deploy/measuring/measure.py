"""Asks a child process how fast and how large a model is. It loads no model itself."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...errors import StageFailed
from ..evaluation.held_out_sets import judged_outputs
from ..evaluation.spec import EvaluateSpec
from .size import ModelSize

_CHILD = "teachercache.stages.deploy.measuring.measure_child"


@dataclass(frozen=True, slots=True)
class Measurement:
    """`latency` by batch size, as latency.py says; `peak_memory_mb` as memory.py says, over all batch sizes."""

    latency: Mapping[str, Mapping[str, float]]
    peak_memory_mb: float | None
    parameters: ModelSize
    bytes: int
    machine: Mapping[str, Any]


def measure_student(folder: Path, spec: EvaluateSpec, device: torch.device) -> Measurement:
    """Measure the finished student in a trial's folder. Raises StageFailed with the child's last words."""
    return _measure(
        {"kind": "student", "folder": str(folder), "outputs": judged_outputs(spec.chosen_metrics)}, spec, device
    )


def measure_teacher(
    teacher: Mapping[str, Any],
    source: Mapping[str, Any] | None,
    size: int,
    channels: int,
    spec: EvaluateSpec,
    device: torch.device,
) -> Measurement:
    """Measure the teacher that these settings (a TeacherSpec as JSON) name, on views of `size` pixels a side; `source`
    (a SourceSpec as JSON) has the samples of a teacher that cannot be given noise.

    Raises StageFailed with the child's last words.
    """
    subject = {"kind": "teacher", "teacher": dict(teacher), "source": source, "view": [size, channels]}
    return _measure(subject, spec, device)


def _measure(subject: Mapping[str, Any], spec: EvaluateSpec, device: torch.device) -> Measurement:
    request = {
        **subject,
        "batches": list(spec.latency_batches),
        "runs": spec.latency_runs,
        "device": str(device),
        "threads": torch.get_num_threads(),
    }
    done = subprocess.run(
        [sys.executable, "-P", "-m", _CHILD, json.dumps(request)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), f"exit {done.returncode}")
        raise StageFailed(f"{subject['kind']} cannot be measured: {last}")
    found = json.loads(done.stdout.splitlines()[-1])
    size = ModelSize(**found["parameters"])
    return Measurement(found["latency"], found["peak_memory_mb"], size, found["bytes"], found["machine"])
