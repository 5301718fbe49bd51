"""What finished students are worth on held-out samples: all of them on one read, each measured once per architecture.

Nothing is done twice: a student whose evaluation was made from the same weights, samples and settings is left alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ...errors import Interrupted, StageFailed
from ...student.files.durable_files import read_json
from ...student.files.saved import is_saved
from ..measuring.measure import measure_student
from .answers import Progress, predict
from .candidate import Candidate, read_candidate
from .held_out_sets import HeldOutSets
from .judgement import Said, judgement
from .record import fingerprint, publish_record, read_record
from .spec import EvaluateSpec

_MEASURED = ("parameters", "latency", "peak_memory_mb", "machine")
FAILED = "failed.json"


@dataclass(frozen=True, slots=True)
class EvaluationSummary:
    """Folders of trials, in the order asked: evaluated now, evaluated before, failed in training (and why), and not
    trained to the end."""

    evaluated: tuple[Path, ...]
    standing: tuple[Path, ...]
    failed: Mapping[Path, str]
    unfinished: tuple[Path, ...]


def evaluate_students(
    folders: Sequence[Path],
    held_out: HeldOutSets,
    spec: EvaluateSpec,
    device: torch.device,
    progress: Progress = lambda done, total: None,
    stop: Callable[[], bool] = lambda: False,
) -> EvaluationSummary:
    """Evaluate the finished students in trial folders, and write evaluation.json and predictions.npz beside each.

    Raises StageError for a student that cannot be loaded or does not fit the held-out cache, StageFailed for one that
    cannot be measured or whose logits are not finite (the others are evaluated first), Interrupted once `stop` is true.
    """
    finished = [read_candidate(folder) for folder in folders if is_saved(folder)]
    records = {one.folder: read_record(one.folder) for one in finished}
    wanted = {one.folder: _fingerprint(one, held_out, spec, device) for one in finished}
    stands = {folder: (record or {}).get("fingerprint") == wanted[folder] for folder, record in records.items()}
    standing = [one for one in finished if stands[one.folder]]
    stale = [one for one in finished if not stands[one.folder]]
    if stale:
        predicted = predict(stale, held_out, spec.batch_size, device, progress, stop)
        known = {one.architecture: _measured(records[one.folder]) for one in standing}
        measured = {**known, **_measure([one for one in stale if one.architecture not in known], spec, device, stop)}
        _publish(stale, predicted, measured, held_out, wanted)
    rest = [folder for folder in folders if not is_saved(folder)]
    failures = {folder: failure for folder in rest if (failure := read_json(folder / FAILED)) is not None}
    return EvaluationSummary(
        tuple(one.folder for one in stale),
        tuple(one.folder for one in standing),
        {folder: str(failure.get("reason", "no reason was written")) for folder, failure in failures.items()},
        tuple(folder for folder in rest if folder not in failures),
    )


def _fingerprint(
    candidate: Candidate, held_out: HeldOutSets, spec: EvaluateSpec, device: torch.device
) -> dict[str, Any]:
    made_from = fingerprint(candidate.weights, held_out, spec, device)
    return {**made_from, "architecture": candidate.architecture}


def _measured(record: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: (record or {}).get(name) for name in _MEASURED}


def _measure(
    candidates: Sequence[Candidate], spec: EvaluateSpec, device: torch.device, stop: Callable[[], bool]
) -> dict[str, dict[str, Any]]:
    """Size, latency and memory by architecture; one student of each is measured, one after the other."""
    found: dict[str, dict[str, Any]] = {}
    for architecture, candidate in {one.architecture: one for one in candidates}.items():
        if stop():
            raise Interrupted("stopped while latencies were measured; the same command begins again")
        try:
            measured = measure_student(candidate.folder, spec, device)
        except StageFailed as error:
            if stop():  # the child heard the same signal
                raise Interrupted("stopped while latencies were measured; the same command begins again") from error
            raise StageFailed(f"{candidate.folder}: {error}") from error
        found[architecture] = {
            "parameters": asdict(measured.parameters),
            "latency": measured.latency,
            "peak_memory_mb": measured.peak_memory_mb,
            "machine": measured.machine,
        }
    return found


def _publish(
    candidates: Sequence[Candidate],
    predicted: Sequence[Said],
    measured: Mapping[str, Mapping[str, Any]],
    held_out: HeldOutSets,
    wanted: Mapping[Path, Mapping[str, Any]],
) -> None:
    broken = []
    for candidate, said in zip(candidates, predicted, strict=True):
        if not said.finite:
            broken.append(candidate)
            continue
        content = {
            **candidate.identity(),
            **judgement(said, held_out),
            "unlabelled": held_out.main.unlabelled,
            "bytes": candidate.bytes,
            **measured[candidate.architecture],
            "fingerprint": wanted[candidate.folder],
        }
        publish_record(candidate.folder, content, said.predictions(held_out))
    if broken:
        names = ", ".join(candidate.name for candidate in broken)
        raise StageFailed(
            f"outputs that are no finite numbers come from {names}; delete {broken[0].folder} to train that student "
            "anew, with a lower learning rate. The other students are evaluated"
        )
