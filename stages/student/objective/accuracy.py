"""How many labelled rows of a batch a student gets right while it trains: for people who watch, and no verdict.

It is of the first term of a phase that is a cross-entropy of classes against labels; without one there is none.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor

from ..losses import LOSSES
from ..trial.arms import Lesson
from .term import Term

Answers = tuple[Tensor, Tensor]  # logits (n, C) and labels (n,) int64, below 0 for none


def answers_of(terms: Sequence[Term], outputs: Mapping[str, Tensor], lesson: Lesson) -> Answers | None:
    """What a student said of the labelled rows, and their labels; None without such a term. Nothing is computed."""
    spec = next((term.spec for term in terms if LOSSES[term.spec.loss].labels), None)
    if spec is None or outputs[spec.output].ndim != 2:
        return None
    labels = lesson.labels if spec.label is None else lesson.fields[spec.label]
    return outputs[spec.output][: lesson.labelled].detach(), labels[: lesson.labelled]


def right_and_known(answers: Sequence[Answers]) -> tuple[int, int]:
    """How many rows with a label have it as their likeliest class, of how many that have one. Waits for the device."""
    right = sum(int(((logits.argmax(-1) == labels) & (labels >= 0)).sum()) for logits, labels in answers)
    known = sum(int((labels >= 0).sum()) for _, labels in answers)
    return right, known
