"""Which cached signals a student could learn from, by shapes: as they are, reduced as the signal was, or projected.

It says what can meet, not what is worth meeting; an objective may join more by name (layers, heads, tokens).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

import torch

from ...cache import SignalSchema
from ..capture.reduction import REDUCTIONS
from ..errors import StageError
from ..student.meeting.projector import projectable

Shape = tuple[int, ...]
_WORDS = ("logits", "hidden", "attention", "qkv")


@dataclass(frozen=True, slots=True)
class Learnable:
    """A signal, the shape of its row, and {how: the outputs that meet it so}; none where nothing does."""

    signal: str
    shape: Shape
    ways: Mapping[str, tuple[str, ...]]


def learnable_signals(signals: Mapping[str, SignalSchema], outputs: Mapping[str, Shape]) -> tuple[Learnable, ...]:
    """Each signal of a cache, and which of a student's outputs (shape of a row) could meet it."""
    return tuple(_learnable(name, schema, outputs) for name, schema in signals.items() if schema.point != "view")


def _learnable(name: str, schema: SignalSchema, outputs: Mapping[str, Shape]) -> Learnable:
    met = [(how, output) for output, shape in outputs.items() if (how := _way(schema, name, output, shape)) is not None]
    met.sort(key=lambda pair: pair[0])  # a stable sort: outputs stay in their order
    ways = {how: tuple(output for _, output in pairs) for how, pairs in groupby(met, key=lambda pair: pair[0])}
    return Learnable(name, schema.target_shape, ways)


def _way(schema: SignalSchema, name: str, output: str, shape: Shape) -> str | None:
    """How an output meets a signal; None when it does not."""
    wanted, ragged = schema.target_shape, schema.packing.axes if schema.packing is not None else ()
    kind = _kind(schema.point or name, schema.reduce)
    reduce = "none"
    if len(shape) != len(wanted) and schema.reduce != "none":
        try:
            reduced = REDUCTIONS[schema.reduce](torch.empty((1, *shape), device="meta"))
        except StageError:
            return None
        shape, reduce = tuple(reduced.shape[1:]), schema.reduce
    if _kind(output, reduce) != kind:
        return None
    if len(shape) == len(wanted):  # tokens of rows that differ in length are compared one by one
        sizes = enumerate(zip(shape, wanted, strict=True))
        shape = tuple(has if axis in ragged else size for axis, (size, has) in sizes)
    said = [] if reduce == "none" else [f"reduced ({reduce})"]
    if shape != wanted:
        if kind in ("logits", "attention", "qkv") or not projectable(shape, wanted):
            return None
        said.append("projector: linear")
    return ", ".join(said) or "as it is"


def _kind(name: str, reduce: str) -> str:
    """What sort of values a point or an output holds; a vector is a vector, wherever it was heard."""
    if name.startswith("exit."):
        return "logits"
    found = next((word for word in _WORDS if word in name.split(".")), None)
    if found == "hidden" and reduce in ("cls", "mean", "last"):
        return "vector"
    if found is None and name in ("embedding", "image_embeds", "text_embeds"):
        return "vector"
    return found or name
