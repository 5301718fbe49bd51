"""Shapes of both sides once heads are averaged, grids are equal and vocabularies shared, and what still differs."""

from dataclasses import replace

import torch

from ....cache import SignalSchema
from ...errors import StageError
from ..losses import LOSSES
from ..mismatch.heads import head_mean
from ..mismatch.tokens import onto_coarser
from ..objective.spec import TermSpec
from .facing import Facing, Shape
from .projector import projectable


def in_one_form(facing: Facing, schema: SignalSchema, place: str) -> Facing:
    """The facing with its shapes as projector or loss will get them. Raises StageError for what has no such form."""
    output, signal = facing.shapes
    try:
        if facing.axes and (schema.packing is not None or facing.selects) and not facing.apart:
            output = _cut(output, signal, facing.axes)
        if facing.heads:
            output, signal = _shape(head_mean(_meta(output))), _shape(head_mean(_meta(signal)))
        if facing.grid:
            output, signal = (_shape(values) for values in onto_coarser(_meta(output), _meta(signal)))
        if facing.vocabulary is not None:
            for side, ids in ((output, facing.vocabulary.student), (signal, facing.vocabulary.teacher)):
                if not side or int(ids.max()) >= side[-1]:
                    raise StageError(f"vocabulary: it has id {int(ids.max())}, and the logits are {side}")
            width = len(facing.vocabulary.student) + facing.vocabulary.rest
            output, signal = (*output[:-1], width), (*signal[:-1], width)
    except (StageError, RuntimeError, IndexError) as error:
        raise StageError(f"{place}: output {facing.output!r} {facing.shapes[0]}, {schema.name!r}: {error}") from error
    return replace(facing, shapes=(output, signal))


def shapes_meet(spec: TermSpec, place: str, facing: Facing) -> None:
    """Raise StageError unless the loss, or its projector, takes these shapes."""
    output, signal = facing.shapes
    loss = LOSSES[spec.loss]
    if loss.kept == "head":
        return
    if spec.projector is None and output != signal and not loss.free and spec.loss != "review":
        raise StageError(f"{place}: {_shapes(facing)}{_advice(spec, facing)}")
    if spec.projector is not None and not projectable(output, signal):
        raise StageError(f"{place}: {_shapes(facing)}, and a projector changes the width alone")
    if spec.loss in ("attention_kl", "attention_mse") and len(signal) < 2:
        raise StageError(f"{place}: signal {facing.signal!r} of shape {signal} is no attention (heads, T, T) or (T, T)")


def _cut(output: Shape, signal: Shape, axes: tuple[int, ...]) -> Shape:
    return tuple(signal[axis] if axis in axes else size for axis, size in enumerate(output))


def _meta(shape: Shape) -> torch.Tensor:
    return torch.empty((1, *shape), device="meta")


def _shape(values: torch.Tensor) -> Shape:
    return tuple(values.shape[1:])


def _shapes(facing: Facing) -> str:
    target = f"signal {facing.signal!r}" if facing.own_target is None else f"output {facing.own_target!r}"
    return f"output {facing.output!r} is {facing.shapes[0]} and {target} is {facing.shapes[1]}"


def _advice(spec: TermSpec, facing: Facing) -> str:
    output, signal = facing.shapes
    if LOSSES[spec.loss].projected and projectable(output, signal):
        return "; `projector: linear` learns a map from one width to the other"
    if spec.loss.startswith("attention") and len(output) == 3 and output[1:] == signal[1:]:
        return "; heads differ: `heads: mean`, or keep the signal with `reduce: head-mean`"
    if LOSSES[spec.loss].masked and len(output) == len(signal) == 2 and output[0] != signal[0] and not facing.grid:
        return "; patch tokens on two grids meet with `tokens: grid`"
    return ""
