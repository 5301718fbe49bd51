"""How a student's outputs and their targets meet: what is reduced, masked, resampled or projected, and what is refused.

Nothing is broadcast, interpolated or left out to make two shapes fit, unless the term asks for it by name.
"""

from collections.abc import Mapping
from itertools import cycle

import torch

from ....cache import SignalSchema
from ...capture.points import nearest
from ...capture.reduction import REDUCTIONS
from ...errors import StageError
from ..losses import LOSSES
from ..mismatch.vocabulary import SharedTokens, read_vocabulary, shared_ids
from ..objective.spec import TermSpec
from .codecs import check_codec, is_dense
from .facing import POOLED, Facing, Shape
from .forms import in_one_form, shapes_meet
from .student_side import StudentSide
from .tokens import span_of, token_axes

Pair = tuple[str, SignalSchema, bool]  # an output, its target, and whether that is an output too


def meet(spec: TermSpec, place: str, student: StudentSide, signals: Mapping[str, SignalSchema]) -> tuple[Facing, ...]:
    """How each output of a term meets its target. Raises StageError, naming `place`, where one cannot."""
    shared = _shared_tokens(spec, place)
    return tuple(
        _meet_pair(spec, place, student, signals, pair, shared) for pair in _pairs(spec, place, student, signals)
    )


def _pairs(spec: TermSpec, place: str, student: StudentSide, signals: Mapping[str, SignalSchema]) -> list[Pair]:
    loss = LOSSES[spec.loss]
    names = (spec.output,) if spec.outputs is None else spec.outputs
    if spec.target_output is not None:
        if spec.targets or loss.targets is not None or loss.kept:
            raise StageError(f"{place}: target_output is the one target of losses between one output and one target")
        own = SignalSchema(spec.target_output, "f32", {}, student.shape(spec.target_output, place))
        return [(spec.output, own, True)]
    found = [_signal(spec, place, name, signals) for name in spec.targets or (None,)]
    _check_counts(spec, place, len(names), len(found))
    return [(name, schema, False) for name, schema in zip(cycle(names), found, strict=False)]


def _check_counts(spec: TermSpec, place: str, outputs: int, targets: int) -> None:
    loss = LOSSES[spec.loss]
    wanted = 1 if loss.outputs is None else loss.outputs
    if wanted and outputs != wanted:
        which = "outputs: [image, text]" if wanted == 2 else "one output"
        raise StageError(f"{place}: {spec.loss} takes {which}, and {outputs} are named")
    if loss.targets is None and targets != 1:
        raise StageError(f"{place}: {spec.loss} takes one signal, and {targets} are named")
    several_teachers = spec.loss in ("ensemble_kl", "clip_affinity")
    if loss.targets is not None and (targets % outputs if several_teachers else targets != outputs):
        raise StageError(f"{place}: {outputs} outputs cannot meet {targets} signals; name one for each, in their order")


def _signal(spec: TermSpec, place: str, name: str | None, signals: Mapping[str, SignalSchema]) -> SignalSchema:
    if name is None:
        raise StageError(f"{place}: {spec.loss} needs a signal; the cache has {', '.join(signals)}")
    if name not in signals:
        close = nearest(name, signals)
        raise StageError(f"{place}: the cache has no signal {name!r}{close}; it has {', '.join(signals)}")
    return signals[name]


def _meet_pair(
    spec: TermSpec,
    place: str,
    student: StudentSide,
    signals: Mapping[str, SignalSchema],
    pair: Pair,
    shared: SharedTokens | None,
) -> Facing:
    name, schema, own = pair
    output = student.shape(name, place)
    check_codec(spec, place, schema)
    span = span_of(spec, place, output, schema, signals)
    reduce, reduced = _reduced(spec, place, output, schema)
    axes = token_axes(spec, place, reduced if reduce != "none" else output, schema)
    axis = 0 if reduce in POOLED and len(output) == 2 else axes[0] if axes else None
    mask = None if axis is None else student.mask(spec, place, name, (output if reduce in POOLED else reduced)[axis])
    facing = Facing(
        name,
        None if own else schema.name,
        (reduced, schema.target_shape),
        own_target=schema.name if own else None,
        reduce=reduce,
        axes=() if reduce in POOLED else axes,
        mask=mask,
        span=spec.span,
        spans=spec.spans,
        selects=span == "selects" and reduce == "none",
        saying=spec.span is not None and name.rpartition(".")[2] == "logits",
        heads=spec.heads == "mean",
        grid=spec.tokens == "grid",
        apart=LOSSES[spec.loss].apart,
        vocabulary=shared,
    )
    _check_masked(spec, place, facing, schema)
    facing = in_one_form(facing, schema, place)
    shapes_meet(spec, place, facing)
    return facing


def _check_masked(spec: TermSpec, place: str, facing: Facing, schema: SignalSchema) -> None:
    """Tokens that do not count are a matter for losses that know masks."""
    loss = LOSSES[spec.loss]
    some = bool(facing.axes) and (schema.packing is not None or facing.mask is not None or facing.span is not None)
    if some and not (loss.masked or loss.blanked):
        raise StageError(
            f"{place}: rows of signal {schema.name!r} differ in the tokens that count, and {spec.loss} takes no mask; "
            "keep the signal with a reduction that leaves no tokens (cls, mean, last)"
        )
    if some and facing.grid:
        raise StageError(f"{place}: tokens: grid is for patch tokens, all of which count; text has no grid")


def _reduced(spec: TermSpec, place: str, output: Shape, schema: SignalSchema) -> tuple[str, Shape]:
    """An output with as many axes as the signal is met as it is; any other one is reduced as the signal was."""
    if len(output) == len(schema.shape) or schema.reduce == "none":
        return "none", output
    try:
        reduced = REDUCTIONS[schema.reduce](torch.empty((1, *output), device="meta"))
    except StageError as error:
        raise StageError(f"{place}: the output must be reduced as the signal was, but {error}") from error
    return schema.reduce, tuple(reduced.shape[1:])


def _shared_tokens(spec: TermSpec, place: str) -> SharedTokens | None:
    if spec.vocabulary is None:
        return None
    try:
        sides = read_vocabulary(spec.vocabulary.student), read_vocabulary(spec.vocabulary.teacher)
        return SharedTokens(*shared_ids(*sides, at_least=spec.vocabulary.at_least), spec.vocabulary.rest)
    except StageError as error:
        raise StageError(f"{place}: {error}") from error


def dense_alone(facings: tuple[Facing, ...], signals: Mapping[str, SignalSchema]) -> bool:
    """Whether every target of a term is decoded to one array."""
    return all(facing.signal is None or is_dense(signals[facing.signal]) for facing in facings)
