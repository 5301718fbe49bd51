"""Held-out samples on which the teacher and a distilled student name different classes, the most confident first."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...cache import Cache
from ...stages.deploy.metrics.figure_kind import Better
from ...stages.student.stream.join import Join
from .errors import ReportError
from .evaluation import Predictions, read_predictions
from .results import ArmResult
from .thumbnail import png_uri
from .trials import FinishedTrial

PER_KIND = 6  # pictures of each kind of disagreement


@dataclass(frozen=True, slots=True)
class Guess:
    """A class and the probability given to it."""

    name: str
    probability: float


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One sample: its true class (None when unlabelled), what each of the two says, and its picture as a data URI."""

    id: str
    truth: str | None
    teacher: tuple[Guess, ...]
    student: tuple[Guess, ...]
    image: str
    side: int


@dataclass(frozen=True, slots=True)
class DisagreementKind:
    """Who was right: `title` says it, `count` is how many samples are of this kind, `shown` the most confident ones."""

    title: str
    count: int
    shown: tuple[Disagreement, ...]


@dataclass(frozen=True, slots=True)
class DisagreementSheet:
    """The disagreements of one trial with the teacher, of `samples` held-out ones."""

    student: str
    seed: int
    samples: int
    count: int
    kinds: tuple[DisagreementKind, ...]


def disagreement_sheet(
    run: Path,
    finished: Sequence[FinishedTrial],
    arms: Sequence[ArmResult],
    held_out: Cache,
    images: Join | None,
    better: Better = "higher",
) -> DisagreementSheet | None:
    """The sheet of the best distilled student's first seed; None without such a student, predictions or images.

    Raises ReportError when the predictions do not belong to the held-out cache.
    """
    distilled = [one for one in arms if one.arm == "distilled"]
    teacher = read_predictions(run / "teacher")
    if images is None or teacher is None or not distilled:
        return None
    best = (max if better == "higher" else min)(distilled, key=lambda one: one.primary.mean)
    chosen = next(one for one in finished if (one.trial.student.name, one.trial.arm) == (best.student, best.arm))
    student = read_predictions(chosen.folder)
    if student is None:
        return None
    if not np.array_equal(teacher.ids, student.ids):
        raise ReportError(
            f"{chosen.folder} was evaluated on other samples than the teacher; remove both evaluation.json and run "
            "`teachercache evaluate`"
        )
    kinds = _kinds(teacher, student, _Pictures(held_out, images))
    count = int(np.sum(teacher.top[:, 0] != student.top[:, 0]))
    return DisagreementSheet(best.student, chosen.trial.seed, len(teacher.ids), count, kinds)


class _Pictures:
    """Pictures and class names of held-out samples, by id."""

    def __init__(self, held_out: Cache, images: Join) -> None:
        self._images, self.classes = images, held_out.manifest.classes
        rows = np.arange(held_out.rows, dtype=np.int64)
        self._rows = dict(zip(images.ids(rows).tolist(), rows.tolist(), strict=True))
        self._cache = held_out.url

    def views(self, ids: np.ndarray) -> np.ndarray:
        """uint8 (n, H, W, C)."""
        missing = [sample for sample in ids.tolist() if sample not in self._rows]
        if missing:
            raise ReportError(f"{self._cache} does not hold sample {missing[0]!r}; run `teachercache evaluate` again")
        rows = np.array([self._rows[sample] for sample in ids.tolist()], np.int64)
        return self._images.views(rows)

    def name(self, number: int) -> str:
        return self.classes[number] if 0 <= number < len(self.classes) else f"class {number}"


def _kinds(teacher: Predictions, student: Predictions, pictures: _Pictures) -> tuple[DisagreementKind, ...]:
    differ = teacher.top[:, 0] != student.top[:, 0]
    labels = teacher.labels
    masks = {
        "Teacher right, student wrong": differ & (teacher.top[:, 0] == labels),
        "Student right, teacher wrong": differ & (student.top[:, 0] == labels),
        "Both wrong": differ & (labels >= 0) & (teacher.top[:, 0] != labels) & (student.top[:, 0] != labels),
        "Without a label": differ & (labels < 0),
    }
    return tuple(
        DisagreementKind(title, int(mask.sum()), _shown(mask, teacher, student, pictures))
        for title, mask in masks.items()
        if mask.any()
    )


def _shown(
    mask: np.ndarray, teacher: Predictions, student: Predictions, pictures: _Pictures
) -> tuple[Disagreement, ...]:
    """The samples of a mask of which both are surest, of each pair of classes the first before any second."""
    sureness = np.minimum(teacher.probability[:, 0], student.probability[:, 0])
    places = np.flatnonzero(mask)
    places = places[np.argsort(-sureness[places], kind="stable")]
    pairs = np.stack([teacher.top[places, 0], student.top[places, 0]], axis=1)
    first = np.isin(np.arange(len(places)), np.unique(pairs, axis=0, return_index=True)[1])
    places = np.concatenate([places[first], places[~first]])[:PER_KIND]
    views = pictures.views(teacher.ids[places])
    return tuple(
        Disagreement(
            str(teacher.ids[place]),
            pictures.name(int(teacher.labels[place])) if teacher.labels[place] >= 0 else None,
            _guesses(teacher, int(place), pictures),
            _guesses(student, int(place), pictures),
            png_uri(view),
            view.shape[0],
        )
        for place, view in zip(places, views, strict=True)
    )


def _guesses(said: Predictions, place: int, pictures: _Pictures) -> tuple[Guess, ...]:
    pairs = zip(said.top[place].tolist(), said.probability[place].tolist(), strict=True)
    return tuple(Guess(pictures.name(int(number)), float(probability)) for number, probability in pairs if number >= 0)
