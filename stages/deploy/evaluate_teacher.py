"""The teacher's figures on held-out samples, from the cache alone. A child process loads it, only to measure it.

Where it cannot be loaded (the cache has travelled, the teacher has not), its figures stand without latency and memory,
and the evaluation says why.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ...data.spec import ViewsSpec
from ..errors import Interrupted, StageFailed
from .held_out import HeldOut
from .measure import measure_teacher
from .metrics import figures
from .predictions import Predictions, join_predictions, teacher_predictions
from .record import fingerprint, publish_record, read_record
from .spec import EvaluateSpec


def evaluate_teacher(
    folder: Path,
    held_out: HeldOut,
    teacher: Mapping[str, Any],
    views: ViewsSpec,
    spec: EvaluateSpec,
    device: torch.device,
    stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Write evaluation.json and predictions.npz of the teacher into `folder`; False when they stand already.

    `teacher` is a TeacherSpec as JSON: which model is measured, and in what precision; `views` gives the size of what
    it is measured on. An evaluation that could not measure it ("unmeasured" says why) is made again.
    """
    wanted = fingerprint("", held_out, spec, device)  # the held-out cache's own fingerprint holds the teacher's weights
    record = read_record(folder) or {}
    if record.get("fingerprint") == wanted and "unmeasured" not in record:
        return False
    predictions = _predictions(held_out, spec.batch_size)
    facts = held_out.cache.manifest.teacher
    content = {
        "model": facts.get("model"),
        "class": facts.get("class"),
        **figures(predictions, held_out.class_names),
        "unlabelled": held_out.unlabelled,
        **_measured(teacher, views, spec, device, facts, stop),
        "fingerprint": wanted,
    }
    publish_record(folder, content, predictions)
    return True


def _predictions(held_out: HeldOut, batch_size: int) -> Predictions:
    batches = held_out.batches(batch_size)
    return join_predictions([teacher_predictions(batch.ids, batch.labels, batch.teacher) for batch in batches])


def _measured(
    teacher: Mapping[str, Any],
    views: ViewsSpec,
    spec: EvaluateSpec,
    device: torch.device,
    facts: Mapping[str, Any],
    stop: Callable[[], bool],
) -> dict[str, Any]:
    """Size as the cache's manifest says, the rest as measured."""
    total = facts.get("parameters")
    try:
        found = measure_teacher(teacher, views.size, views.channels, spec, device)
    except StageFailed as error:
        if stop():  # the child heard the same signal
            raise Interrupted("stopped while the teacher was measured; the same command begins again") from error
        size = {"total": total, "without_embeddings": facts.get("without_embeddings")}
        unknown: dict[str, Any] = {"latency": {}, "peak_memory_mb": None, "machine": {}, "unmeasured": str(error)}
        return {"parameters": size, "bytes": facts.get("bytes"), **unknown}
    size = asdict(found.parameters)
    return {
        "parameters": {**size, "total": total or size["total"]},
        "bytes": facts.get("bytes", found.bytes),
        "latency": found.latency,
        "peak_memory_mb": found.peak_memory_mb,
        "machine": found.machine,
    }
