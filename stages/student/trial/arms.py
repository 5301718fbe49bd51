"""What the three arms of a comparison are, in one place: the same student, seed, batches and steps, and then

- `distilled`: every term; signals of the sample itself;
- `labels-only`: the cross_entropy terms alone, on the labelled rows of each batch alone; no signal is read;
- `shuffled-cache`: every term; but the signals belong to another sample, by one fixed permutation of the cache.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from ...errors import StageError
from ..spec import Arm, StudentSpec, TermSpec
from ..stream.batch import Batch, Target


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a trial sees of a batch: its first `rows` rows, their labels, of which [0:labelled] count, and targets."""

    rows: int
    labels: Tensor
    labelled: int
    signals: Mapping[str, Target]


def arm_terms(student: StudentSpec, arm: Arm) -> tuple[TermSpec, ...]:
    """The terms a student keeps under an arm. Raises StageError when none is left."""
    if arm != "labels-only":
        return student.objective
    terms = tuple(term for term in student.objective if term.loss == "cross_entropy")
    if not terms:
        raise StageError(
            f"students.{student.name}: the control labels-only keeps only cross_entropy terms, and its objective has "
            "none; add one, or leave labels-only out of train.controls"
        )
    return terms


def lesson(batch: Batch, arm: Arm) -> Lesson:
    """The part of a batch that an arm may see."""
    if arm == "labels-only":
        return Lesson(batch.labelled, batch.labels[: batch.labelled], batch.labelled, {})
    signals = batch.shuffled if arm == "shuffled-cache" else batch.signals
    return Lesson(len(batch.labels), batch.labels, batch.labelled, signals)
