"""The teacher's figures on held-out samples, from the cache alone. A child process loads it, only to measure it.

Where it cannot be loaded (the cache has travelled, the teacher has not), its figures stand without latency and memory,
and the evaluation says why.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ....data.spec import ViewsSpec
from ...errors import Interrupted, StageFailed
from ..measuring.measure import Measurement, measure_teacher
from ..metrics import zero_shot
from ..metrics.kinds import columns_of, join_columns
from ..metrics.measured import Columns
from ..metrics.metric_spec import MetricSpec
from .held_out import HeldOut, HeldOutBatch
from .held_out_sets import HeldOutSets
from .judgement import Said, judgement
from .record import fingerprint, publish_record, read_record
from .spec import EvaluateSpec


def evaluate_teacher(
    folder: Path,
    held_out: HeldOutSets,
    teacher: Mapping[str, Any],
    views: ViewsSpec,
    spec: EvaluateSpec,
    device: torch.device,
    stop: Callable[[], bool] = lambda: False,
    source: Mapping[str, Any] | None = None,
) -> bool:
    """Write evaluation.json and predictions.npz of the teacher into `folder`; False when they stand already.

    `teacher` is a TeacherSpec as JSON: which model is measured, and in what precision; `views` gives the size of what
    it is measured on, and `source` (a SourceSpec as JSON) the samples, where it takes more than images or texts alone.
    An evaluation that could not measure it ("unmeasured" says why) is made again.
    """
    wanted = fingerprint("", held_out, spec, device)  # the held-out cache's own fingerprint holds the teacher's weights
    record = read_record(folder) or {}
    if record.get("fingerprint") == wanted and "unmeasured" not in record:
        return False
    said = teacher_said(held_out, spec.batch_size)
    facts = held_out.main.cache.manifest.teacher
    content = {
        "model": facts.get("model"),
        "class": facts.get("class"),
        **judgement(said, held_out),
        "unlabelled": held_out.main.unlabelled,
        **_measured(lambda: measure_teacher(teacher, source, views.size, views.channels, spec, device), facts, stop),
        "fingerprint": wanted,
    }
    publish_record(folder, content, said.predictions(held_out))
    return True


def teacher_said(held_out: HeldOutSets, batch_size: int) -> Said:
    """What the teacher said of every set, by the metrics for which all its signals are named."""
    sets = {name: _said(one, batch_size) for name, one in held_out.sets.items()}
    prompts = {name: _prompts(held_out, name, batch_size) for name in held_out.prompts}
    return Said(sets, {name: found for name, found in prompts.items() if found is not None})


def _prompts(held_out: HeldOutSets, name: str, batch_size: int) -> Columns | None:
    """The teacher's embeddings of a set of prompts; None where it is not judged by them."""
    metric = held_out.reading(name)
    if metric.text_signal is None:
        return None
    batches = held_out.prompts[name].batches(batch_size)
    said = ((batch, {metric.text: batch.signals[metric.text_signal]}) for batch in batches)
    return join_columns([zero_shot.prompt_columns(metric, heard, batch) for batch, heard in said])


def _said(held_out: HeldOut, batch_size: int) -> dict[int, Columns]:
    judged = {n: one for n, one in enumerate(held_out.metrics) if all(one.pairs.values())}
    pieces: dict[int, list[Columns]] = {number: [] for number in judged}
    for batch in held_out.batches(batch_size):
        for number, metric in judged.items():
            pieces[number].append(_columns(metric, batch))
    return {number: join_columns(found) for number, found in pieces.items()}


def _columns(metric: MetricSpec, batch: HeldOutBatch) -> Columns:
    said = {output: batch.signals[signal] for output, signal in metric.pairs.items() if signal is not None}
    return columns_of(metric, said, batch, teacher=True)


def _measured(measure: Callable[[], Measurement], facts: Mapping[str, Any], stop: Callable[[], bool]) -> dict[str, Any]:
    """Size as the cache's manifest says, the rest as measured."""
    total = facts.get("parameters")
    try:
        found = measure()
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
