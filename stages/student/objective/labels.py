"""Terms whose target is a label: the class number of a sample, or a numeric field of the source."""

from collections.abc import Mapping

from torch import Tensor

from ...errors import StageError
from ..inputs.labels import LabelShape
from ..losses import LOSSES
from ..meeting.facing import Shape
from .spec import TermSpec


def reads_labels_alone(spec: TermSpec) -> bool:
    """Whether a label is the term's whole target."""
    loss = LOSSES[spec.loss]
    return loss.labels or (spec.label is not None and not loss.beside_labels)


def check_label_term(
    spec: TermSpec, place: str, output: Shape, classes: int, fields: Mapping[str, LabelShape] | None
) -> None:
    """Raise StageError unless an output (shape of one row) can meet the label; `fields` None: not known yet."""
    loss = LOSSES[spec.loss]
    if not (loss.labels or loss.numbers):
        able = ", ".join(name for name, each in LOSSES.items() if each.labels or each.numbers or each.beside_labels)
        raise StageError(f"{place}: {spec.loss} takes no label; these do: {able}")
    if spec.targets or spec.target_output is not None:
        other = ", ".join(spec.targets) or spec.target_output
        raise StageError(f"{place}: {spec.loss} reads the labels and no signal; use kl to learn from {other!r}")
    if spec.projector is not None or spec.span is not None or spec.tokens is not None:
        raise StageError(f"{place}: a term whose target is a label takes no projector, span or tokens")
    if spec.label is None:
        if output != (classes,):
            raise StageError(f"{place}: output {spec.output!r} is {output}, and there are {classes} classes")
    elif fields is not None:
        if spec.label not in fields:
            raise StageError(
                f"{place}: there is no label field {spec.label!r}; there are {', '.join(fields) or 'none'}"
            )
        _check_field(spec, place, output, fields[spec.label])


def _check_field(spec: TermSpec, place: str, output: Shape, label: LabelShape) -> None:
    """Whole numbers below the output's width, or -1, for cross_entropy; numbers of the output's shape otherwise."""
    if LOSSES[spec.loss].numbers:
        if output != label.shape and output != (*label.shape, 1):
            raise StageError(f"{place}: output {spec.output!r} is {output}, and label {spec.label!r} {label.shape}")
        return
    if label.dtype != "int64" or not output or label.shape != output[:-1]:
        raise StageError(
            f"{place}: label {spec.label!r} is {label.dtype} {label.shape}, and output {spec.output!r} {output} needs "
            f"whole numbers {output[:-1]}"
        )
    if label.smallest < -1 or label.largest >= output[-1]:
        raise StageError(
            f"{place}: label {spec.label!r} goes from {label.smallest:g} to {label.largest:g}, and output "
            f"{spec.output!r} has {output[-1]} classes, 0 to {output[-1] - 1}; -1 is none"
        )


def label_target(spec: TermSpec, output: Tensor, labels: Tensor) -> Tensor:
    """Labels (n, ...) as the loss takes them: numbers in the form of the output (n, ...), classes as they are."""
    if not LOSSES[spec.loss].numbers:
        return labels
    numbers = labels.to(output.dtype if output.is_floating_point() else None)
    return numbers.unsqueeze(-1) if output.ndim == numbers.ndim + 1 and output.shape[-1] == 1 else numbers
