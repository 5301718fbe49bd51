"""The weighted terms of a trial as one module. Everything that could not meet is refused before the first step."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from ....cache import SignalSchema
from ..inputs.labels import LabelShape
from ..inputs.shape import InputShape
from ..spec import TermSpec
from ..trial.arms import Lesson
from ..trial.randomness import derive_seed
from ..trial.trial import Trial
from .building import Ground, build_term
from .facing import Shape
from .kept import Kept
from .student_side import StudentSide
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
        """(loss, {term: its mean}), scalars on the device; outputs (lesson.rows, ...) by name.

        Terms that read labels are means over the labelled rows, the others over all rows; of no rows the mean is 0.
        `inputs` of the student by name, of which masks are read. `numbers` stand for those of the settings.
        """
        given = numbers or {}
        values = self.values(outputs, lesson, inputs, given)
        weights = [given.get(number, {}).get("weight", term.spec.weight) for number, term in enumerate(self.terms)]
        weighted = [weight * value for weight, value in zip(weights, values.values(), strict=True)]
        return sum(weighted[1:], start=weighted[0]), {name: value.detach() for name, value in values.items()}

    def values(
        self,
        outputs: Mapping[str, Tensor],
        lesson: Lesson,
        inputs: Mapping[str, Tensor] | None = None,
        numbers: Numbers | None = None,
    ) -> dict[str, Tensor]:
        """{term: its mean over rows}, scalars with their gradients and without weights."""
        rows = self.rows(outputs, lesson, inputs, numbers)
        return {name: row_mean(found) for name, found in rows.items()}

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
) -> Objective:
    """The objective of a trial. `outputs` are the shapes of one row of what its student returns, `inputs` those of what
    it is given; `fields` the label fields, None where they are not known; `kept` what the cache keeps once.

    Raises StageError naming the term for a signal or output that does not exist, shapes that do not meet, a temperature
    without a tail, and options that the loss does not take.
    """
    ground = Ground(StudentSide(outputs, inputs or {}), signals, classes, fields, kept)
    terms: list[Term] = []
    modules: list[TermModules] = []
    for number, spec in enumerate(trial.terms):
        place = f"students.{trial.student.name}.objective.{_number(trial, spec)} ({spec.loss})"
        seed = derive_seed("projector", trial.seed, number)
        term, found = build_term(spec, place, ground, _unique(spec, terms), seed)
        terms.append(term)
        modules.append(found)
    return Objective(terms, modules)


def _number(trial: Trial, spec: TermSpec) -> int:
    """The term's place in the objective. Under an arm that changes terms, the first of its loss and output."""
    whole = trial.student.objective
    alike = (i for i, each in enumerate(whole) if (each.loss, each.output) == (spec.loss, spec.output))
    return whole.index(spec) if spec in whole else next(alike, 0)


def _unique(spec: TermSpec, terms: Sequence[Term]) -> str:
    """`kl:logits`, and `kl:logits#2` for a second term of that loss and target."""
    target = "+".join(spec.targets) or spec.label or spec.target_output or "+".join(spec.outputs or ()) or "labels"
    name = f"{spec.loss}:{target}"
    same = sum(term.name.split("#")[0] == name for term in terms)
    return f"{name}#{same + 1}" if same else name
