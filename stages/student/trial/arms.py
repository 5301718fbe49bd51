"""What the arms of a comparison are, in one place: the same student, seed, batches and steps, and then

- `distilled`: every term; signals of the sample itself;
- `labels-only`: the terms that read no signal (cross_entropy, any with `label`, contrast of the student's own image and
  text, its own outputs as targets), on the labelled rows of each batch alone, and all as heavy;
- `shuffled-cache`: every term; but the signals belong to another sample, by one fixed permutation of the cache;
- `random-selection`: every term; but where a phase selects a share of the samples, as many are drawn at random.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from ...errors import StageError
from ..losses import LOSSES
from ..spec import Arm, StudentSpec
from ..stream.batch import Batch, Target
from .spec import PhaseSpec, SelectSpec


@dataclass(frozen=True, slots=True)
class Whole:
    """What a lesson is a part of, where rows are divided: how many `rows`, and the labels and label fields (n, ...) of
    the labelled ones among them. Means are over all of it."""

    rows: int
    labels: Tensor
    fields: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a trial sees of a batch: its first `rows` rows, their labels and label fields, of which [0:labelled] count,
    and targets. `samples` (rows,) int64 are the numbers of the samples whose signals these are. `whole` is what it is a
    part of; None for one that is whole."""

    rows: int
    labels: Tensor
    labelled: int
    signals: Mapping[str, Target]
    fields: Mapping[str, Tensor] = field(default_factory=dict)
    samples: Tensor | None = None
    whole: Whole | None = None


def arm_course(student: StudentSpec, arm: Arm) -> tuple[PhaseSpec, ...]:
    """The phases of a student under an arm. Raises StageError when no term is left, or nothing is selected."""
    if arm == "labels-only":
        return (_labels_only(student),)
    if arm != "random-selection":
        return student.course
    if all(phase.select is None for phase in student.course):
        raise StageError(
            f"students.{student.name}: the control random-selection is for a student with `select`, and this one takes "
            "every sample"
        )
    return tuple(_drawn(phase) for phase in student.course)


def _labels_only(student: StudentSpec) -> PhaseSpec:
    """One phase in which all parameters train: the terms of every phase that read no signal, each once."""
    own = [term for term in student.terms if not term.targets and not LOSSES[term.loss].beside_labels]
    if all(term.target_output is not None for term in own):
        raise StageError(
            f"students.{student.name}: the control labels-only keeps only terms that read no signal (cross_entropy, "
            "any with `label`, and contrast of image and text), and its objective has none; add one, or leave "
            "labels-only out of train.controls"
        )
    plain = (term.model_copy(update={"sample_weight": None}) if term.sample_weight else term for term in own)
    return PhaseSpec(name="training", share=1.0, objective=tuple(dict.fromkeys(plain)))


def _drawn(phase: PhaseSpec) -> PhaseSpec:
    """The phase with as many samples, drawn."""
    if phase.select is None:
        return phase
    return phase.model_copy(update={"select": SelectSpec(by="random", share=phase.select.share)})


def lesson(batch: Batch, arm: Arm) -> Lesson:
    """The part of a batch that an arm may see."""
    whole = _whole(batch, arm)
    if arm == "labels-only":
        rows = batch.labelled
        fields = {name: x[:rows] for name, x in batch.fields.items()}
        return Lesson(rows, batch.labels[:rows], rows, {}, fields, whole=whole)
    shuffled = arm == "shuffled-cache"
    signals, samples = (batch.shuffled, batch.partners) if shuffled else (batch.signals, batch.samples)
    return Lesson(len(batch.labels), batch.labels, batch.labelled, signals, batch.fields, samples, whole)


def _whole(batch: Batch, arm: Arm) -> Whole | None:
    whole = batch.whole
    if whole is None:
        return None
    count = whole.labelled
    rows = count if arm == "labels-only" else len(whole.rows)
    return Whole(rows, whole.labels[:count], {name: x[:count] for name, x in whole.fields.items()})
