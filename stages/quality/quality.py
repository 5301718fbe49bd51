"""Everything that a teacher's cache and the labels say about the teacher."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...cache import Cache
from .advice import Advice, advise
from .answers import Answers, read_answers
from .calibration import Calibration, calibrate
from .spectrum import Spectrum, embedding_spectra
from .suspects import Suspects, rank_suspects


@dataclass(frozen=True, slots=True)
class ClassQuality:
    """A class: its labelled samples, and the share of them of which the teacher names it (None without samples)."""

    name: str
    samples: int
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class TeacherQuality:
    """`accuracy` is that of the plain view, None without labels. `view_agreement[v]` is the share of samples of which
    view v names the class that view 0 names, `view_divergence[v]` the mean KL between them in nats; both over views
    that are not mixed with another sample, and None where all are. `agreements` are those with other teachers' logits
    in the same cache, by signal."""

    answers: Answers
    accuracy: float | None
    calibration: Calibration | None
    per_class: tuple[ClassQuality, ...]
    view_agreement: tuple[float | None, ...]
    view_divergence: tuple[float | None, ...]
    suspects: Suspects | None
    spectra: list[Spectrum]
    agreements: Mapping[str, float]
    advice: list[Advice]

    def to_json(self) -> dict[str, Any]:
        """The figures without the samples."""
        answers, calibration = self.answers, self.calibration
        return {
            "samples": len(answers.ids),
            "labelled": len(answers.labelled),
            "accuracy": self.accuracy,
            "calibration": None if calibration is None else {k: getattr(calibration, k) for k in calibration.__slots__},
            "per_class": [{"class": one.name, "samples": one.samples, "top1": one.accuracy} for one in self.per_class],
            "view_agreement": list(self.view_agreement),
            "view_divergence": list(self.view_divergence),
            "entropy_mean": float(answers.entropy[:, 0].mean()),
            "margin_mean": float((answers.probability[:, 0, 0] - answers.probability[:, 0, 1]).mean()),
            "wrong_labels_estimated": None if self.suspects is None else self.suspects.estimated,
            "spectra": {one.signal: [one.dimensions(share) for share in (0.9, 0.95, 0.99)] for one in self.spectra},
            "agreements": dict(self.agreements),
            "advice": [{"setting": one.setting, "value": one.value, "reason": one.reason} for one in self.advice],
        }


def judge_teacher(
    cache: Cache, signal: str = "logits", others: tuple[str, ...] = (), student_accuracy: float | None = None
) -> TeacherQuality:
    """Judge the teacher that said `signal`, by the labels and beside the logits `others` of other teachers.

    Raises StageError for signals that are no dense logits, CacheError for a cache with missing shards.
    """
    cache.require_complete((signal, *others))
    answers = read_answers(cache, signal)
    known = answers.labelled
    calibration = calibrate(answers.logits, answers.labels[answers.chosen]) if len(known) else None
    spectra = embedding_spectra(cache)
    return TeacherQuality(
        answers=answers,
        accuracy=float(np.mean(answers.top[known, 0, 0] == answers.labels[known])) if len(known) else None,
        calibration=calibration,
        per_class=_per_class(answers, cache.manifest.classes),
        view_agreement=_by_view(answers, answers.top[:, :, 0] == answers.top[:, :1, 0]),
        view_divergence=_by_view(answers, answers.divergence),
        suspects=rank_suspects(answers) if len(known) else None,
        spectra=spectra,
        agreements={other: _agreement(answers, read_answers(cache, other)) for other in others},
        advice=advise(answers, calibration, spectra, student_accuracy),
    )


def _per_class(answers: Answers, names: tuple[str, ...]) -> tuple[ClassQuality, ...]:
    known = answers.labelled
    labels, right = answers.labels[known], answers.top[known, 0, 0] == answers.labels[known]
    counts = np.bincount(labels, minlength=answers.classes)
    hits = np.bincount(labels[right], minlength=answers.classes)
    shown = names if len(names) == answers.classes else tuple(str(number) for number in range(answers.classes))
    return tuple(
        ClassQuality(name, int(count), float(hit / count) if count else None)
        for name, count, hit in zip(shown, counts, hits, strict=True)
    )


def _by_view(answers: Answers, values: np.ndarray) -> tuple[float | None, ...]:
    """The mean of (N, V) over the samples of each view that are in it alone."""
    alone = ~answers.mixed
    found = [values[alone[:, view], view] for view in range(values.shape[1])]
    return tuple(float(np.mean(one)) if len(one) else None for one in found)


def _agreement(one: Answers, other: Answers) -> float:
    return float(np.mean(one.top[:, :, 0] == other.top[:, :, 0]))
