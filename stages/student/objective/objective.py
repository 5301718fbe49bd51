"""The weighted terms of a trial as one module. Everything that could not meet is refused before the first step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

from torch import Tensor, nn

from ....cache import SignalSchema
from ...capture.points import nearest
from ...capture.reduction import REDUCTIONS
from ...errors import StageError
from ..inputs.labels import LabelShape
from ..losses import LOSSES
from ..mismatch.width import build_projector
from ..spec import TermSpec
from ..trial.arms import Lesson
from ..trial.randomness import derive_seed
from ..trial.trial import Trial
from .meeting import Shape, check_term, loss_options


@dataclass(frozen=True, slots=True)
class Term:
    """One term, checked. `reduce` brings the output to the form in which the signal was kept."""

    name: str
    spec: TermSpec
    reduce: str


class Objective(nn.Module):
    """The sum of weight * mean over rows of each term. Its parameters are those of the projectors."""

    def __init__(self, terms: Sequence[Term], projectors: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.terms = tuple(terms)
        self.projectors = nn.ModuleDict(projectors)  # by number of the term: a module's name may hold no dot

    def forward(self, outputs: Mapping[str, Tensor], lesson: Lesson) -> tuple[Tensor, dict[str, Tensor]]:
        """(loss, {term: its mean}), scalars on the device; outputs (lesson.rows, ...) by name.

        Terms that read labels are means over the labelled rows, the others over all rows.
        """
        values = {term.name: self._value(number, term, outputs, lesson) for number, term in enumerate(self.terms)}
        weighted = [term.spec.weight * values[term.name] for term in self.terms]
        return sum(weighted[1:], start=weighted[0]), {name: value.detach() for name, value in values.items()}

    def _value(self, number: int, term: Term, outputs: Mapping[str, Tensor], lesson: Lesson) -> Tensor:
        output, spec, loss = outputs[term.spec.output], term.spec, LOSSES[term.spec.loss]
        function = partial(loss.function, **loss_options(spec))
        labels = (lesson.labels if spec.label is None else lesson.fields[spec.label])[: lesson.labelled]
        if spec.signal is None:
            output = output[: lesson.labelled]
            target = labels.to(output.dtype).reshape(output.shape) if loss.numbers else labels
            return function(output, target).mean()
        output = REDUCTIONS[term.reduce](output)
        if str(number) in self.projectors:
            output = self.projectors[str(number)](output)
        signal = lesson.signals[spec.signal]
        if loss.beside_labels:
            return function(output[: lesson.labelled], cast(Tensor, signal)[: lesson.labelled], labels).mean()
        return function(output, signal).mean()


def build_objective(
    trial: Trial,
    outputs: Mapping[str, Shape],
    signals: Mapping[str, SignalSchema],
    classes: int,
    fields: Mapping[str, LabelShape] | None = None,
) -> Objective:
    """The objective of a trial. `outputs` are the shapes of one row of what its student returns, `fields` the label
    fields.

    Raises StageError naming the term for a signal or output that does not exist, shapes that do not meet, a temperature
    without a tail, and options that the loss does not take.
    """
    terms: list[Term] = []
    projectors: dict[str, nn.Module] = {}
    for number, spec in enumerate(trial.terms):
        place = f"students.{trial.student.name}.objective.{trial.student.objective.index(spec)} ({spec.loss})"
        output = _find(outputs, spec.output, f"{place}: the student has no output")
        met = check_term(spec, place, output, signals, classes, fields or {})
        terms.append(Term(_unique(spec, terms), spec, met.reduce))
        if spec.projector is not None:
            seed = derive_seed("projector", trial.seed, number)
            projectors[str(number)] = build_projector(spec.projector, met.output, met.signal, seed)
    return Objective(terms, projectors)


def _find(outputs: Mapping[str, Shape], name: str, complaint: str) -> Shape:
    if name not in outputs:
        raise StageError(f"{complaint} {name!r}{nearest(name, outputs)}; it has {', '.join(outputs)}")
    return outputs[name]


def _unique(spec: TermSpec, terms: Sequence[Term]) -> str:
    """`kl:logits`, and `kl:logits#2` for a second term of that loss and signal."""
    name = f"{spec.loss}:{spec.signal or spec.label or 'labels'}"
    same = sum(term.name.split("#")[0] == name for term in terms)
    return f"{name}#{same + 1}" if same else name
