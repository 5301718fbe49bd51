"""evaluation.json and predictions.npz of one model. The JSON is written last, and says what it was made from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...student.files.durable_files import write_errors, write_json, write_whole
from ..metrics.metric_spec import ClassificationSpec
from .held_out_sets import HeldOutSets
from .predictions import Predictions
from .spec import EvaluateSpec

EVALUATION, PREDICTIONS = "evaluation.json", "predictions.npz"
_FORMAT = 1


def fingerprint(weights: str, held_out: HeldOutSets, spec: EvaluateSpec, device: torch.device) -> dict[str, Any]:
    """All that an evaluation is made from. How many threads measured is said in it and makes no new one."""
    more = {name: one.cache.manifest.digest for name, one in {**held_out.sets, **held_out.prompts}.items()}
    return {
        "format": _FORMAT,
        "weights": weights,
        "held_out": held_out.main.cache.manifest.digest,
        **({"sets": more} if len(more) > 1 else {}),
        **({} if held_out.metrics == (ClassificationSpec(),) else {"metrics": _metrics(held_out)}),
        "latency_batches": list(spec.latency_batches),
        "latency_runs": spec.latency_runs,
        "device": device.type,
    }


def _metrics(held_out: HeldOutSets) -> list[dict[str, Any]]:
    return [metric.model_dump(mode="json") for metric in held_out.metrics]


def read_record(folder: Path) -> dict[str, Any] | None:
    """The evaluation in a folder; None when there is none, or none that can be read: it is then made again."""
    try:
        content = json.loads((folder / EVALUATION).read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict):
        return None
    return content if (folder / PREDICTIONS).exists() or content.get("predictions") is False else None


def publish_record(folder: Path, content: Mapping[str, Any], predictions: Predictions | None) -> None:
    """Write both files; without predictions `evaluation.json` says so. Raises StageFailed when the disk does not take
    them."""
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / EVALUATION).unlink(missing_ok=True)  # never old figures beside new predictions
        (folder / PREDICTIONS).unlink(missing_ok=True)
    if predictions is not None:
        write_whole(folder / PREDICTIONS, predictions.to_npz())
    write_json(folder / EVALUATION, {**content, "predictions": predictions is not None})
