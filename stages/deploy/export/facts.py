"""What is known of a student beside its weights: names of classes, teacher, data, cache and the figures of its report.

Everything here may be missing, and is then not said; nothing is made up.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ....cache import Cache
from ....cache.format.document import digest
from ...errors import StageError
from ...student.files.durable_files import read_json
from ..evaluation.candidate import Candidate
from ..run_cache import run_folder


@dataclass(frozen=True, slots=True)
class Facts:
    """`labels` of the classes, `cache` the digest of the cache's fingerprint, `teacher` what its manifest says of the
    teacher, `data` what it says of the source, `figures` the student's own evaluation and `gains` its arm's figures in
    the report (primary, retention, gain). `licence` as the user says."""

    labels: tuple[str, ...] | None = None
    cache: str | None = None
    teacher: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    gains: Mapping[str, Any] = field(default_factory=dict)
    licence: str | None = None


def collect_facts(candidate: Candidate, cache: Cache | None, licence: str | None = None) -> Facts:
    """What cache, evaluation and report say. Raises StageError when the cache knows other classes than the student."""
    figures = read_json(candidate.folder / "evaluation.json") or {}
    if figures.get("fingerprint", {}).get("weights", candidate.weights) != candidate.weights:
        figures = {}  # of weights that are no longer there
    report = read_json(run_folder(candidate.folder) / "report.json") or {}
    known: dict[str, Any] = {"figures": figures, "gains": _gains(candidate, report), "licence": licence}
    if cache is None:
        return Facts(**known)
    manifest = cache.manifest
    return Facts(
        labels=_labels(candidate, manifest.classes),
        cache=digest(dict(manifest.fingerprint)),
        teacher=dict(manifest.teacher),
        data=dict(manifest.fingerprint.get("source", {})),
        **known,
    )


def _labels(candidate: Candidate, classes: Any) -> tuple[str, ...] | None:
    count = candidate.saved.shape.classes
    if not classes or not count:
        return None
    if len(classes) != count:
        raise StageError(
            f"{candidate.folder}: this student tells {count} classes apart, and the cache names {len(classes)}; name "
            "the configuration that it was trained with: --config recipe.yaml"
        )
    return tuple(classes)


def _gains(candidate: Candidate, report: Mapping[str, Any]) -> Mapping[str, Any]:
    """The student's and arm's entry of report.json."""
    saved = candidate.saved
    for one in report.get("students", ()):
        if (one.get("student"), one.get("arm")) == (saved.student.name, saved.arm):
            chosen: Mapping[str, Any] = {name: one.get(name) for name in ("primary", "retention", "gain", "metrics")}
            return chosen
    return {}
