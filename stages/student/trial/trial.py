"""A trial: one student under one arm with one seed. Which trials a configuration asks for, and what they need."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..inputs.spec import InputSource, asked_sources
from ..losses import LOSSES
from ..spec import Arm, StudentSpec, TermSpec, TrainSpec
from .arms import arm_course
from .spec import PhaseSpec


@dataclass(frozen=True, slots=True)
class Trial:
    """What is trained. Two trials that differ in the arm alone start from the same weights and see the same batches.
    `judged` are the outputs that evaluation reads."""

    student: StudentSpec
    arm: Arm
    seed: int
    judged: tuple[str, ...] = ("logits",)

    @property
    def name(self) -> str:
        """`<student>/<arm>/seed-<n>`, which is also its folder."""
        return f"{self.student.name}/{self.arm}/seed-{self.seed}"

    @property
    def terms(self) -> tuple[TermSpec, ...]:
        """The terms of all its phases. Raises StageError when its arm leaves none."""
        return tuple(term for phase in self.phases for term in phase.objective)

    @property
    def phases(self) -> tuple[PhaseSpec, ...]:
        """What it does, one after another. Raises StageError when its arm leaves no term."""
        return arm_course(self.student, self.arm)

    @property
    def outputs(self) -> tuple[str, ...]:
        """What its student returns: the same under every arm, so that the arms differ in nothing else."""
        read = {name for term in self.student.terms for name in term.all_outputs}
        masks = {term.mask for term in self.student.terms if term.mask not in (None, "none")}
        outputs = {mask for mask in masks if mask and mask not in self.student.takes and "attention_mask" not in mask}
        return tuple(sorted(set(self.judged) | read | outputs))

    def folder(self, students: Path) -> Path:
        """Its folder below `<output>/students`."""
        return students / self.student.name / self.arm / f"seed-{self.seed}"


def plan_trials(
    students: Sequence[StudentSpec], train: TrainSpec, judged: tuple[str, ...] = ("logits",)
) -> tuple[Trial, ...]:
    """Every student under every arm with every seed, in the order of the configuration.

    A student with `control` is trained as that control only; any other one is distilled, and trained as each of
    `train.controls` too. `judged` are the outputs that evaluation reads of each.
    """
    return tuple(
        Trial(student, arm, seed, judged)
        for student in students
        for arm in _arms(student, train)
        for seed in train.seeds
    )


def needed_signals(trials: Iterable[Trial]) -> tuple[str, ...]:
    """The signals that some trial's terms read, in the order of first use; the stream reads no other."""
    return tuple(dict.fromkeys(name for trial in trials for term in trial.terms for name in term.all_signals))


def needs_labels(trials: Iterable[Trial]) -> bool:
    """Whether some trial has a term that reads class numbers of the samples."""
    losses = (LOSSES[term.loss] for trial in trials for term in trial.terms if term.label is None)
    return any(loss.labels or loss.beside_labels for loss in losses)


def needed_fields(trials: Iterable[Trial]) -> tuple[str, ...]:
    """The label fields that some trial reads, in the order of first use."""
    return tuple(dict.fromkeys(term.label for trial in trials for term in trial.terms if term.label is not None))


def needed_sources(trials: Iterable[Trial]) -> dict[InputSource, str]:
    """What the students of trials see, and where in the settings each is asked for first."""
    return asked_sources((trial.student.name, trial.student.takes) for trial in trials)


def needs_shuffled(trials: Iterable[Trial]) -> bool:
    """Whether some trial is the shuffled control."""
    return any(trial.arm == "shuffled-cache" for trial in trials)


def _arms(student: StudentSpec, train: TrainSpec) -> tuple[Arm, ...]:
    """A student that selects samples is trained on as many drawn ones too: else nothing is known of the choice."""
    if student.control:
        return (student.control,)
    selects = any(phase.select is not None and phase.select.by != "random" for phase in student.course)
    asked: tuple[Arm, ...] = (*train.controls, "random-selection") if selects else train.controls
    return ("distilled", *(arm for arm in dict.fromkeys(asked) if selects or arm != "random-selection"))
