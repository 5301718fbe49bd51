"""What to start from, each with its reason. Rules of thumb, said as such: the report of a run decides."""

from dataclasses import dataclass

import numpy as np

from ...cache.codecs.logits.softmax import log_softmax
from .answers import Answers
from .calibration import Calibration
from .spectrum import Spectrum

_MARGIN = 0.04  # points of accuracy that a teacher should be ahead: between 3 and 5 is the usual rule
_TAIL = 0.01


@dataclass(frozen=True, slots=True)
class Advice:
    """A setting, what to start from, and why."""

    setting: str
    value: str
    reason: str


def advise(
    answers: Answers, calibration: Calibration | None, spectra: list[Spectrum], student_accuracy: float | None
) -> list[Advice]:
    """`student_accuracy` is what the student in mind reaches from labels alone, when that is known."""
    found = [] if calibration is None else [_temperature(calibration), _weights(answers)]
    found.append(_sparse(answers.logits))
    found += [_pca(spectrum) for spectrum in spectra]
    if calibration is not None:
        found.append(_good_enough(_accuracy(answers), student_accuracy))
    return found


def _temperature(calibration: Calibration) -> Advice:
    start = min(4.0, max(1.0, round(calibration.temperature * 2) / 2))
    said = "surer than it is right" if calibration.temperature > 1.05 else "about as sure as it is right"
    said = "less sure than it is right" if calibration.temperature < 0.95 else said
    reason = (
        f"the teacher is {said}: T = {calibration.temperature:.2f} calibrates it; a temperature far above that "
        "flattens away what it knows"
    )
    return Advice("temperature", f"{start:g}", reason)


def _weights(answers: Answers) -> Advice:
    right = _accuracy(answers)
    soft = min(0.95, max(0.5, round(right, 2)))
    reason = f"the teacher agrees with {right:.1%} of the labels: the surer that it is right, the more it should count"
    return Advice("weights", f"kl {soft:g}, cross_entropy {1 - soft:.2g}", reason)


def _sparse(logits: np.ndarray) -> Advice:
    p = np.sort(np.exp(log_softmax(logits.astype(np.float64))), axis=1)[:, ::-1]
    tail = 1 - np.cumsum(p.mean(axis=0))
    k = int(np.searchsorted(-tail, -_TAIL) + 1)
    classes = logits.shape[1]
    if k * 3 >= classes:
        return Advice("k", "dense", f"{k} of {classes} logits hold 99 % of the probability: sparse logits save little")
    return Advice("k", str(k), f"the {k} largest of {classes} hold 99 % at T = 1; pps needs about a third")


def _pca(spectrum: Spectrum) -> Advice:
    size, width = spectrum.dimensions(0.99), len(spectrum.variance)
    reason = (
        f"{spectrum.dimensions(0.9)}, {spectrum.dimensions(0.95)} and {size} of {width} directions hold 90, 95 and "
        f"99 % of the variance of {spectrum.signal} (it uses about {spectrum.effective:.0f})"
    )
    return Advice(f"PCA of {spectrum.signal}", str(size), reason)


def _good_enough(right: float, student: float | None) -> Advice:
    if student is None:
        reason = "a teacher should be 3 to 5 points better than the student is from labels alone; train that first"
        return Advice("good enough", f"a student below {100 * (right - _MARGIN):.0f} %", reason)
    ahead = right - student
    verdict = "yes" if ahead >= _MARGIN else "no" if ahead <= 0 else "hardly"
    return Advice("good enough", verdict, f"it is {100 * ahead:+.1f} points ahead; 3 to 5 is the usual rule")


def _accuracy(answers: Answers) -> float:
    known = answers.labelled
    return float(np.mean(answers.top[known, 0, 0] == answers.labels[known])) if len(known) else float("nan")
