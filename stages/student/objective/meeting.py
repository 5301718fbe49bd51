"""How a student's output and a cached signal meet: what is reduced or projected, and what is refused.

Nothing is broadcast, interpolated or left out to make two shapes fit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ....cache import SignalSchema
from ...capture.points import nearest
from ...capture.reduction import REDUCTIONS
from ...errors import StageError
from ..inputs.labels import LabelShape
from ..losses import LOSSES
from ..spec import TermSpec
from .projector import projectable

Shape = tuple[int, ...]
_OPTIONS = ("temperature", "label_smoothing", "alpha", "beta", "gamma", "scale", "heads")
_NOT_DENSE = {  # what codecs of logits keep, of which a loss needs to know
    "topk": "the top {k} entries",
    "pps": "a sample of {k} entries",
    "sampling": "a sample of {draws} draws",
}


@dataclass(frozen=True, slots=True)
class Met:
    """Shapes of one row when loss or projector gets them, and the reduction of the output that leads there."""

    output: Shape
    signal: Shape
    reduce: str = "none"


def check_term(
    spec: TermSpec,
    place: str,
    output: Shape,
    signals: Mapping[str, SignalSchema],
    classes: int,
    fields: Mapping[str, LabelShape],
) -> Met:
    """How a term's output (shape of one row) meets its signal or label. Raises StageError, naming `place`, if it
    cannot."""
    _check_options(spec, place)
    if spec.label is not None and not LOSSES[spec.loss].beside_labels:
        return _meet_field(spec, place, output, fields)
    if LOSSES[spec.loss].labels:
        return _meet_labels(spec, place, output, classes)
    schema = _signal(spec, place, signals)
    _check_codec(spec, place, schema)
    _check_lengths(spec, place, schema)
    met = _reduced(place, output, schema)
    if spec.projector is None and met.output != met.signal and not LOSSES[spec.loss].free:
        raise StageError(f"{place}: {_shapes(spec, met)}{_advice(spec, met)}")
    if spec.projector is not None and not projectable(met.output, met.signal):
        raise StageError(f"{place}: {_shapes(spec, met)}, and a projector changes the width alone")
    if spec.loss.startswith("attention") and len(met.signal) < 2:
        raise StageError(
            f"{place}: signal {spec.signal!r} of shape {met.signal} is no attention (heads, T, T) or (T, T)"
        )
    if LOSSES[spec.loss].beside_labels and met.output != (classes,):
        raise StageError(f"{place}: output {spec.output!r} is {met.output}, and there are {classes} classes")
    if schema.codec not in _NOT_DENSE:
        _try(spec, place, met)
    return met


def loss_options(spec: TermSpec) -> dict[str, Any]:
    """The keywords of a term's loss that are set; the loss's own defaults stand for the others."""
    given = {name: getattr(spec, name) for name in LOSSES[spec.loss].options}
    return {name: value for name, value in given.items() if value is not None}


def _try(spec: TermSpec, place: str, met: Met) -> None:
    """The loss itself, on two rows of zeros: what it refuses, it refuses now."""
    loss = LOSSES[spec.loss]
    output = torch.zeros(2, *(met.output if spec.projector is None else met.signal))
    labels = [torch.zeros(2, dtype=torch.int64)] if loss.beside_labels else []
    try:
        with torch.no_grad():
            loss.function(output, torch.zeros(2, *met.signal), *labels, **loss_options(spec))
    except StageError as error:
        raise StageError(f"{place}: {error}") from error


def _check_options(spec: TermSpec, place: str) -> None:
    for name in _OPTIONS:
        if name not in LOSSES[spec.loss].options and getattr(spec, name) != TermSpec.model_fields[name].default:
            raise StageError(f"{place}: {spec.loss} takes no {name}")
    if spec.projector is not None and not LOSSES[spec.loss].projected:
        able = ", ".join(name for name, loss in LOSSES.items() if loss.projected)
        raise StageError(f"{place}: {spec.loss} takes no projector; these do: {able}")


def _meet_labels(spec: TermSpec, place: str, output: Shape, classes: int) -> Met:
    if spec.signal is not None:
        raise StageError(f"{place}: {spec.loss} reads the labels and no signal; use kl to learn from {spec.signal!r}")
    if output != (classes,):
        raise StageError(f"{place}: output {spec.output!r} is {output}, and there are {classes} classes")
    return Met(output, output)


def _meet_field(spec: TermSpec, place: str, output: Shape, fields: Mapping[str, LabelShape]) -> Met:
    """Whole numbers below the output's width for cross_entropy; numbers of the output's shape for regression."""
    loss = LOSSES[spec.loss]
    if not (loss.labels or loss.numbers):
        able = ", ".join(name for name, found in LOSSES.items() if found.labels or found.numbers)
        raise StageError(f"{place}: {spec.loss} takes no label; these do: {able}")
    if spec.signal is not None:
        raise StageError(f"{place}: its target is label {spec.label!r} or signal {spec.signal!r}, not both")
    label = fields[spec.label or ""]
    if loss.numbers:
        if output != (label.shape or (1,)) and output != label.shape:
            raise StageError(f"{place}: output {spec.output!r} is {output}, and label {spec.label!r} {label.shape}")
        return Met(output, output)
    if label.dtype != "int64" or label.shape != output[:-1] or not output:
        raise StageError(
            f"{place}: label {spec.label!r} is {label.dtype} {label.shape}, and output {spec.output!r} {output} needs "
            f"whole numbers {output[:-1]}"
        )
    if label.smallest < 0 or label.largest >= output[-1]:
        raise StageError(
            f"{place}: label {spec.label!r} goes from {label.smallest:g} to {label.largest:g}, and output "
            f"{spec.output!r} has {output[-1]} classes, 0 to {output[-1] - 1}"
        )
    return Met(output, output)


def _signal(spec: TermSpec, place: str, signals: Mapping[str, SignalSchema]) -> SignalSchema:
    if spec.signal is None:
        raise StageError(f"{place}: {spec.loss} needs a signal; the cache has {', '.join(signals)}")
    if spec.signal not in signals:
        close = nearest(spec.signal, signals)
        raise StageError(f"{place}: the cache has no signal {spec.signal!r}{close}; it has {', '.join(signals)}")
    return signals[spec.signal]


def _check_codec(spec: TermSpec, place: str, schema: SignalSchema) -> None:
    """A signal that is not kept dense is read by losses that know it, at the temperatures that it keeps."""
    if schema.codec not in _NOT_DENSE:
        return
    if not LOSSES[spec.loss].sparse:
        kept = _NOT_DENSE[schema.codec].format(**schema.parameters)
        raise StageError(f"{place}: signal {spec.signal!r} keeps {kept} alone; use kl")
    allowed = kept_temperatures(schema)
    if allowed is not None and spec.temperature not in allowed:
        stored = ", ".join(f"{t:g}" for t in allowed)
        what = "exact tail" if schema.codec == "topk" else "weights"
        field = "sample_temperature" if schema.codec == "sampling" else "temperatures"
        raise StageError(
            f"{place}: signal {spec.signal!r} has no {what} at temperature {spec.temperature:g}, only at {stored}; "
            f"use one of them, or build the cache with it under cache.signals.{spec.signal}.{field}"
        )


def kept_temperatures(schema: SignalSchema) -> tuple[float, ...] | None:
    """The temperatures at which a signal of logits can be read; None for all."""
    if schema.codec == "sampling":
        return (float(schema.parameters["sample_temperature"]),)
    kept = schema.parameters.get("temperatures")
    return None if kept is None else tuple(float(t) for t in kept)


def _check_lengths(spec: TermSpec, place: str, schema: SignalSchema) -> None:
    """Losses compare rows of one length: what padding would mean to them is not known."""
    if schema.packing is not None:
        raise StageError(
            f"{place}: rows of signal {spec.signal!r} differ in length, and no loss reads such rows yet; keep the "
            "signal with a reduction that leaves no tokens (cls, mean, last)"
        )


def _reduced(place: str, output: Shape, schema: SignalSchema) -> Met:
    """An output with as many axes as the signal is met as it is; any other one is reduced as the signal was."""
    if len(output) == len(schema.shape) or schema.reduce == "none":
        return Met(output, schema.target_shape)
    try:
        reduced = REDUCTIONS[schema.reduce](torch.empty((1, *output), device="meta"))
    except StageError as error:
        raise StageError(f"{place}: the output must be reduced as the signal was, but {error}") from error
    return Met(tuple(reduced.shape[1:]), schema.shape, schema.reduce)


def _shapes(spec: TermSpec, met: Met) -> str:
    return f"output {spec.output!r} is {met.output} and signal {spec.signal!r} is {met.signal}"


def _advice(spec: TermSpec, met: Met) -> str:
    if LOSSES[spec.loss].projected and projectable(met.output, met.signal):
        return "; `projector: linear` learns a map from one width to the other"
    if spec.loss.startswith("attention") and len(met.output) == 3 and met.output[1:] == met.signal[1:]:
        return "; heads differ: keep the signal with `reduce: head-mean`"
    return ""
