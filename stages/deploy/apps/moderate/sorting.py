"""Fits rules on labelled examples, and sorts pictures by them, with the reason for each verdict."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .....data import DataError
from ....errors import StageError
from ...predict import Predictor, open_predictor
from ...predict.picture_files import picture_files
from .concept import Concept, Fitted, Verdict, fit_threshold
from .rules import Rules, concept_scores, embed_pictures, model_files

_FILES = 64  # between two answers
# Of a dynamic int8 file the ranges are those of a whole batch, so that a score hangs on what is asked beside it; a
# threshold must meet the scores that it was fitted on.
_ALONE = 1
_ORDER: dict[str, int] = {"flag": 0, "review": 1, "pass": 2}


@dataclass(frozen=True, slots=True)
class Reason:
    """A concept that spoke: its score, and the thresholds that it met or missed."""

    concept: str
    verdict: Verdict
    score: float
    flag: float
    review: float


@dataclass(frozen=True, slots=True)
class Sorted:
    """What becomes of a picture, with every concept that did not let it pass, the gravest first. A file that is no
    picture is for review, and `error` says why."""

    path: Path
    verdict: Verdict
    reasons: tuple[Reason, ...]
    error: str | None = None


def fit_rules(model: Path, concepts: Sequence[Concept], examples: Path, rate: float, band: float = 5.0) -> Rules:
    """Fit each concept on `examples`: a folder with a sub-folder for each concept, by its name, and others for what
    shows none of them. Raises StageError for too few examples of either."""
    if not 0 < rate < 1 or band < 1:
        raise StageError(f"a false-positive rate of {rate:g} and a band of {band:g}: give one in (0, 1), and 1 or more")
    files = picture_files([examples])
    shown = np.array([path.relative_to(examples).parts[0] for path in files])
    predictor = open_predictor(model, _ALONE)
    scores = concept_scores(predictor, concepts, embed_pictures(predictor, files))
    fitted = {
        one.name: fit_threshold(one.name, scores[:, n], shown == one.name, rate, band) for n, one in enumerate(concepts)
    }
    return Rules(tuple(concepts), fitted, str(model), model_files(model))


def sort_pictures(model: Path, rules: Rules, paths: Sequence[Path]) -> Iterator[Sorted]:
    """Sort files and all that lies in folders, a batch at a time."""
    predictor, files = open_predictor(model, _ALONE), picture_files(paths)
    for start in range(0, len(files), _FILES):
        yield from _sorted(predictor, rules, files[start : start + _FILES])


def _sorted(predictor: Predictor, rules: Rules, files: Sequence[Path]) -> Iterator[Sorted]:
    vectors: dict[Path, np.ndarray] = {}
    errors: dict[Path, str] = {}
    for path in files:
        try:
            vectors[path] = embed_pictures(predictor, [path])[0]
        except (DataError, StageError) as error:
            errors[path] = str(error)
    scores = (
        concept_scores(predictor, rules.concepts, np.stack(list(vectors.values()))) if vectors else np.zeros((0, 0))
    )
    rows = dict(zip(vectors, scores, strict=True))
    for path in files:
        yield Sorted(path, "review", (), errors[path]) if path in errors else _judged(path, rules, rows[path])


def _judged(path: Path, rules: Rules, scores: np.ndarray) -> Sorted:
    pairs = zip(rules.concepts, scores.tolist(), strict=True)
    reasons = [_reason(one.name, rules.fitted[one.name], score) for one, score in pairs]
    grave = sorted((one for one in reasons if one.verdict != "pass"), key=lambda one: (_ORDER[one.verdict], -one.score))
    return Sorted(path, grave[0].verdict if grave else "pass", tuple(grave))


def _reason(name: str, fitted: Fitted, score: float) -> Reason:
    return Reason(name, fitted.verdict(score), score, fitted.flag, fitted.review)


def measured(rules: Rules, found: Sequence[Sorted], root: Path) -> dict[str, Mapping[str, Any]]:
    """{concept: precision, recall, false-positive rate and counts} on pictures that lie below `root` in folders named
    by what they show: figures on examples that the thresholds were not fitted on."""
    shown = [one.path.relative_to(root).parts[0] for one in found]
    said = [{reason.concept for reason in one.reasons if reason.verdict == "flag"} for one in found]
    return {one.name: _counted(one.name, shown, said) for one in rules.concepts}


def _counted(name: str, shown: Sequence[str], said: Sequence[set[str]]) -> Mapping[str, Any]:
    pairs = [(label == name, name in flags) for label, flags in zip(shown, said, strict=True)]
    right, wrong = pairs.count((True, True)), pairs.count((False, True))
    missed, passed = pairs.count((True, False)), pairs.count((False, False))
    return {
        "precision": right / (right + wrong) if right + wrong else None,
        "recall": right / (right + missed) if right + missed else None,
        "false_positive_rate": wrong / (wrong + passed) if wrong + passed else None,
        "positives": right + missed,
        "negatives": wrong + passed,
    }
