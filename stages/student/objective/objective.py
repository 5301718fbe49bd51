"""The weighted terms of a trial as one module. Everything that could not meet is refused before the first step."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from ....cache import SignalSchema
from ..inputs.labels import LabelShape
from ..inputs.shape import InputShape
from ..meeting.facing import Shape
from ..meeting.student_side import StudentSide
from ..schedule import value_at
from ..spec import TermSpec
from ..trial.arms import Lesson
from ..trial.randomness import derive_seed
from ..trial.trial import Trial
from .building import Ground, build_term
from .kept import Kept
from .term import Step, Term, TermModules, row_mean, term_rows

Numbers = Mapping[int, Mapping[str, float]]  # by number of the term: weight, temperature, t and others, in this step


class Objective(nn.Module):
    """The sum of weight * mean over rows of each term. Its parameters are those of projectors and learnt scales."""

    def __init__(self, terms: Sequence[Term], modules: Sequence[TermModules]) -> None:
        super().__init__()
        self.terms = tuple(terms)
        # By number of the term, and of its target but for the first: a module's name may hold no dot.
        pairs = [(n, i, each) for n, found in enumerate(modules) for i, each in found.projectors.items()]
        self.projectors = nn.ModuleDict({f"{n}-{i}" if i else str(n): each for n, i, each in pairs})
        self.fusions = nn.ModuleDict({str(n): found.fusion for n, found in enumerate(modules) if found.fusion})
        self.given = nn.ModuleDict({str(n): found.given for n, found in enumerate(modules) if found.given})
        self._modules_of, self._looked = tuple(modules), False

    def forward(
        self,
        outputs: Mapping[str, Tensor],
        lesson: Lesson,
        inputs: Mapping[str, Tensor] | None = None,
        numbers: Numbers | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The total of all rows at once; see `rows` and `numbers_at`."""
        rows = self.rows(outputs, lesson, inputs, numbers)
        weights = self.weights(numbers or {})
        weighted = [weights[name] * row_mean(found) for name, found in rows.items()]
        return sum(weighted[1:], start=weighted[0]), {name: row_mean(found).detach() for name, found in rows.items()}

    def numbers_at(self, step: int, steps: int) -> Numbers:
        """The numbers that a schedule changes, at step `step` of a phase of `steps`."""
        return {
            number: {name: value_at(rule, step, steps) for name, rule in term.spec.scheduled.items()}
            for number, term in enumerate(self.terms)
            if term.spec.scheduled
        }

    def weights(self, numbers: Numbers) -> dict[str, float]:
        """{term: its weight} in a step."""
        return {
            term.name: numbers.get(number, {}).get("weight", term.spec.weight) for number, term in enumerate(self.terms)
        }

    def counts(self, lesson: Lesson) -> dict[str, int]:
        """{term: how many rows of a lesson it reads}; of the whole where the lesson is a part."""
        rows, labelled = lesson.rows, lesson.labelled
        if lesson.whole is not None:
            rows, labelled = lesson.whole.rows, len(lesson.whole.labels)
        return {term.name: labelled if term.spec.reads_labels else rows for term in self.terms}

    def rows(
        self,
        outputs: Mapping[str, Tensor],
        lesson: Lesson,
        inputs: Mapping[str, Tensor] | None = None,
        numbers: Numbers | None = None,
    ) -> dict[str, Tensor]:
        """{term: one number for each row that it reads, (n,)}, with gradients and without weights."""
        masks, look = {**outputs, **(inputs or {})}, lesson.labels.device.type == "cpu" or not self._looked
        self._looked, found = True, {}
        for number, (term, modules) in enumerate(zip(self.terms, self._modules_of, strict=True)):
            step = Step(outputs, lesson, masks, (numbers or {}).get(number, {}), look)
            found[term.name] = term_rows(term, modules, step)
        return found


def build_objective(
    trial: Trial,
    outputs: Mapping[str, Shape],
    signals: Mapping[str, SignalSchema],
    classes: int,
    fields: Mapping[str, LabelShape] | None = None,
    inputs: Mapping[str, InputShape] | None = None,
    kept: Kept | None = None,
    phase: int = 0,
) -> Objective:
    """The objective of a trial's phase, by its number. `outputs` are the shapes of one row of what its student returns,
    `inputs` those of what it is given; `fields` the label fields, None where they are not known; `kept` what the cache
    keeps once.

    Raises StageError naming the term for a signal or output that does not exist, shapes that do not meet, a temperature
    without a tail, and options that the loss does not take.
    """
    ground = Ground(StudentSide(outputs, inputs or {}), signals, classes, fields, kept)
    terms: list[Term] = []
    modules: list[TermModules] = []
    for number, spec in enumerate(trial.phases[phase].objective):
        place = f"students.{trial.student.name}.{_place(trial, spec)} ({spec.loss})"
        seed = derive_seed("projector", trial.seed, number, *([phase] if phase else []))
        term, found = build_term(spec, place, ground, _unique(spec, terms), seed)
        terms.append(term)
        modules.append(found)
    return Objective(terms, modules)


def _place(trial: Trial, spec: TermSpec) -> str:
    """Where the term stands in the settings. Under an arm that changes terms, the first of its loss and output."""
    alike = [
        (
            each == spec,
            f"objective.{number}" if trial.student.phases is None else f"phases.{phase.name}.objective.{number}",
        )
        for phase in trial.student.course
        for number, each in enumerate(phase.objective)
        if (each.loss, each.output) == (spec.loss, spec.output)
    ]
    return max(alike, key=lambda found: found[0])[1] if alike else "objective"


def _unique(spec: TermSpec, terms: Sequence[Term]) -> str:
    """`kl:logits`, and `kl:logits#2` for a second term of that loss and target."""
    target = "+".join(spec.targets) or spec.label or spec.target_output or "+".join(spec.outputs or ()) or "labels"
    name = f"{spec.loss}:{target}"
    same = sum(term.name.split("#")[0] == name for term in terms)
    return f"{name}#{same + 1}" if same else name
