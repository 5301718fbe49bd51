"""What the three arms of a comparison are, in one place: the same student, seed, batches and steps, and then

- `distilled`: every term; signals of the sample itself;
- `labels-only`: the terms that read no signal (cross_entropy, any with `label`, contrast of the student's own image and
  text, its own outputs as targets), on the labelled rows of each batch alone, and all as heavy;
- `shuffled-cache`: every term; but the signals belong to another sample, by one fixed permutation of the cache.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from ...errors import StageError
from ..losses import LOSSES
from ..spec import Arm, StudentSpec, TermSpec
from ..stream.batch import Batch, Target


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a trial sees of a batch: its first `rows` rows, their labels and label fields, of which [0:labelled] count,
    and targets. `samples` (rows,) int64 are the numbers of the samples whose signals these are."""

    rows: int
    labels: Tensor
    labelled: int
    signals: Mapping[str, Target]
    fields: Mapping[str, Tensor] = field(default_factory=dict)
    samples: Tensor | None = None


def arm_terms(student: StudentSpec, arm: Arm) -> tuple[TermSpec, ...]:
    """The terms a student keeps under an arm. Raises StageError when none is left."""
    if arm != "labels-only":
        return student.objective
    own = [term for term in student.objective if not term.targets and not LOSSES[term.loss].beside_labels]
    if all(term.target_output is not None for term in own):
        raise StageError(
            f"students.{student.name}: the control labels-only keeps only terms that read no signal (cross_entropy, "
            "any with `label`, and contrast of image and text), and its objective has none; add one, or leave "
            "labels-only out of train.controls"
        )
    return tuple(term.model_copy(update={"sample_weight": None}) if term.sample_weight else term for term in own)


def lesson(batch: Batch, arm: Arm) -> Lesson:
    """The part of a batch that an arm may see."""
    if arm == "labels-only":
        rows = batch.labelled
        return Lesson(rows, batch.labels[:rows], rows, {}, {name: x[:rows] for name, x in batch.fields.items()})
    shuffled = arm == "shuffled-cache"
    signals, samples = (batch.shuffled, batch.partners) if shuffled else (batch.signals, batch.samples)
    return Lesson(len(batch.labels), batch.labels, batch.labelled, signals, batch.fields, samples)
