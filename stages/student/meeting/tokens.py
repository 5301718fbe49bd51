"""Which axes of a row count tokens, and what a term's span may choose among them."""

from collections.abc import Mapping
from typing import Literal

from ....cache import SignalSchema
from ...errors import StageError
from ..objective.spec import TermSpec
from .facing import Shape


def token_axes(spec: TermSpec, place: str, output: Shape, schema: SignalSchema) -> tuple[int, ...]:
    """The axes of one row that count tokens, on both sides; () where nothing does or the loss looks at none."""
    if schema.packing is not None:
        axes = schema.packing.axes
        if spec.loss.startswith("attention") and len(axes) != 2:
            raise StageError(
                f"{place}: rows of signal {schema.name!r} differ in length, and of its maps one row is kept; keep them "
                "whole, or with `reduce: head-mean`"
            )
        if len(output) != len(schema.shape):
            raise StageError(f"{place}: output {spec.output!r} is {output} and signal {schema.name!r} {schema.shape}")
        return axes
    if spec.loss.startswith("attention_") and spec.loss != "attention_transfer":
        axes = (len(output) - 2, len(output) - 1) if len(output) > 1 else ()
        return axes if axes and output[axes[0]] == output[axes[1]] else ()
    if spec.loss == "minilm_qkv":
        return (2,) if len(output) == 4 else ()
    return (0,) if len(output) == 2 else ()


def span_of(
    spec: TermSpec, place: str, output: Shape, schema: SignalSchema, signals: Mapping[str, SignalSchema]
) -> Literal["masks", "selects"] | None:
    """How a span chooses among the output's tokens: it masks those of a signal of whole rows, and selects those that
    meet a signal of the span alone. Raises StageError where it cannot be known or has no meaning."""
    if spec.span is None:
        return None
    runs = signals.get(spec.spans)
    if runs is None or runs.packing is None or len(runs.shape) != 2 or runs.shape[1] != 3:
        raise StageError(
            f"{place}: span: {spec.span} needs the signal that says where spans are, and {spec.spans!r} is none; keep "
            "the teacher's `spans`, and name it under `spans` if it has another name"
        )
    if len(output) != 2 or spec.loss.startswith("attention") or spec.loss == "uld":
        raise StageError(
            f"{place}: a span is of tokens (tokens, width), and output {spec.output!r} is {output}; of attention keep "
            f"a block such as attention.N.text-image"
        )
    point = schema.point or schema.name
    return "selects" if point.rpartition(".")[2] == spec.span else "masks"
