"""What the three arms of a comparison are, in one place: the same student, seed, batches and steps, and then

- `distilled`: every term; signals of the sample itself;
- `labels-only`: the terms whose target is a label alone (cross_entropy, and any with `label`), on the
  labelled rows of each batch alone; no signal is read;
- `shuffled-cache`: every term; but the signals belong to another sample, by one fixed permutation of the cache.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from ...errors import StageError
from ..spec import Arm, StudentSpec, TermSpec
from ..stream.batch import Batch, Target


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a trial sees of a batch: its first `rows` rows, their labels and label fields, of which [0:labelled] count,
    and targets."""

    rows: int
    labels: Tensor
    labelled: int
    signals: Mapping[str, Target]
    fields: Mapping[str, Tensor] = field(default_factory=dict)


def arm_terms(student: StudentSpec, arm: Arm) -> tuple[TermSpec, ...]:
    """The terms a student keeps under an arm. Raises StageError when none is left."""
    if arm != "labels-only":
        return student.objective
    terms = tuple(term for term in student.objective if term.loss == "cross_entropy" or term.label)
    if not terms:
        raise StageError(
            f"students.{student.name}: the control labels-only keeps only terms whose target is a label "
            "(cross_entropy, or any with `label`), and its objective has none; add one, or leave labels-only out of "
            "train.controls"
        )
    return terms


def lesson(batch: Batch, arm: Arm) -> Lesson:
    """The part of a batch that an arm may see."""
    if arm == "labels-only":
        rows = batch.labelled
        return Lesson(rows, batch.labels[:rows], rows, {}, {name: x[:rows] for name, x in batch.fields.items()})
    signals = batch.shuffled if arm == "shuffled-cache" else batch.signals
    return Lesson(len(batch.labels), batch.labels, batch.labelled, signals, batch.fields)
