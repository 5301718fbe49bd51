"""evaluation.json and predictions.npz of one model. The JSON is written last, and says what it was made from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..student.files.durable_files import write_errors, write_json, write_whole
from .held_out import HeldOut
from .predictions import Predictions
from .spec import EvaluateSpec

EVALUATION, PREDICTIONS = "evaluation.json", "predictions.npz"
_FORMAT = 1


def fingerprint(weights: str, held_out: HeldOut, spec: EvaluateSpec, device: torch.device) -> dict[str, Any]:
    """All that an evaluation is made from. How many threads measured is said in it and makes no new one."""
    return {
        "format": _FORMAT,
        "weights": weights,
        "held_out": held_out.cache.manifest.digest,
        "latency_batches": list(spec.latency_batches),
        "latency_runs": spec.latency_runs,
        "device": device.type,
    }


def read_record(folder: Path) -> dict[str, Any] | None:
    """The evaluation in a folder; None when there is none, or none that can be read: it is then made again."""
    try:
        content = json.loads((folder / EVALUATION).read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and (folder / PREDICTIONS).exists() else None


def publish_record(folder: Path, content: Mapping[str, Any], predictions: Predictions) -> None:
    """Write both files. Raises StageFailed when the disk does not take them."""
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / EVALUATION).unlink(missing_ok=True)  # never old figures beside new predictions
    write_whole(folder / PREDICTIONS, predictions.to_npz())
    write_json(folder / EVALUATION, content)
