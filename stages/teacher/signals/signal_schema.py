"""How a signal will lie on disk, from its settings and one heard batch: shape, packing, what its codec must know."""

from dataclasses import replace
from typing import Any

from torch import Tensor

from ....cache.codecs import SPARSE, HeadLogits, Packing, QueryKey, Ragged, build_codec
from ....cache.errors import CacheError
from ....cache.format.schema import SignalSchema
from ....cache.spec import SignalSpec
from ...cache_identity import written_parameters
from ...capture import parse_point
from ...capture.reduction import token_axes
from ...capture.spans import span_axes
from ...errors import StageError
from .constants import head_constants

Heard = Tensor | Ragged | QueryKey | HeadLogits


def heard_point(name: str, spec: SignalSpec) -> str:
    """The capture point at which a signal is heard. Raises StageError for settings that do not go together."""
    place, point = f"cache.signals.{name}", parse_point(spec.point or name, paths=True)
    if spec.codec == "pca":
        raise StageError(
            f"{place}: codec pca finds its directions in a finished cache: build the signal with f16 or int8, then "
            "`teachercache cache recode` makes it"
        )
    if point.kind == "qk":
        raise StageError(f"{place}: {point.name} is heard for `point: attention.{point.index}, codec: factored` alone")
    if spec.codec == "head" and (point.kind != "logits" or spec.reduce not in ("none", "last") or spec.causal):
        raise StageError(
            f"{place}: codec head keeps the logits (point: logits), of all tokens or of the last (reduce: last), and "
            "takes no causal"
        )
    if spec.codec != "factored":
        return point.name
    if point.kind != "attention" or point.span or spec.reduce != "none" or spec.causal:
        raise StageError(
            f"{place}: codec factored keeps attention.N of all heads, and takes neither reduce nor causal (it knows)"
        )
    return f"{point.part}.qk.{point.index}" if point.part else f"qk.{point.index}"


def signal_schema(name: str, spec: SignalSpec, values: Heard, longest: int | None = None) -> SignalSchema:
    """The schema of a signal whose first values these are; `longest` is the most tokens that a row may have, where rows
    differ in length, else the most of these. Raises StageError when its codec cannot hold it."""
    try:
        if isinstance(values, QueryKey):
            schema = _factored(name, spec, values)
        elif isinstance(values, HeadLogits):
            schema = _head(name, spec, values)
        else:
            shape = tuple((values.values if isinstance(values, Ragged) else values).shape[1:])
            schema = _schema(name, spec, shape, written_parameters(spec), _packing(name, spec, values))
        schema = of_length(schema, None if isinstance(values, Tensor) else longest)
        schema.parts()
    except CacheError as error:
        raise StageError(f"cache.signals.{name}: {error}") from error
    return schema


def of_length(schema: SignalSchema, tokens: int | None) -> SignalSchema:
    """The same with other rows as the longest, where rows differ in length."""
    if tokens is None or schema.packing is None:
        return schema
    axes = (1, 2) if schema.codec == "factored" else schema.packing.axes
    return replace(schema, shape=tuple(tokens if axis in axes else size for axis, size in enumerate(schema.shape)))


def _head(name: str, spec: SignalSpec, values: HeadLogits) -> SignalSchema:
    parameters, hidden = {**written_parameters(spec), "classes": values.classes}, values.hidden
    packing = Packing((0,)) if isinstance(hidden, Ragged) else None
    shape = tuple((hidden.values if isinstance(hidden, Ragged) else hidden).shape[1:])
    schema = _schema(name, spec, shape, parameters, packing)
    return replace(schema, constants=head_constants(name))


def _factored(name: str, spec: SignalSpec, values: QueryKey) -> SignalSchema:
    rows, heads, tokens, width = values.query.shape
    heard = {"width": width, "key_heads": values.key.shape[1], "causal": bool(values.causal)}
    packing = None if values.lengths is None else Packing((1,))
    return _schema(name, spec, (heads, tokens, tokens), {**written_parameters(spec), **heard}, packing)


def _schema(
    name: str, spec: SignalSpec, shape: tuple[int, ...], parameters: dict[str, Any], packing: Packing | None
) -> SignalSchema:
    codec = build_codec(spec.codec, parameters)
    place = spec.point or name
    return SignalSchema(
        name, codec.name, codec.parameters, shape, place, spec.reduce, packing=packing, compression=spec.compress
    )


def _packing(name: str, spec: SignalSpec, values: Tensor | Ragged) -> Packing | None:
    """Rows that were heard with their lengths are packed, and causal maps are; and logits of tokens, as many in each
    row, of which some classes are kept: they are kept token by token."""
    point = parse_point(spec.point or name, paths=True)
    axes = span_axes(point.kind, point.span, spec.reduce) if point.span else token_axes(point.kind, spec.reduce)
    if spec.causal and point.span:
        raise StageError(f"cache.signals.{name}: causal is for whole maps, and {point.name} is a block of one")
    if spec.causal and len(axes) != 2:
        raise StageError(f"cache.signals.{name}: causal is for attention maps, and this signal is none")
    if spec.codec in SPARSE and isinstance(values, Tensor) and values.ndim == 3 and point.kind in ("logits", "module"):
        return Packing((0,))
    return Packing(axes, spec.causal, implied=spec.causal) if spec.causal or isinstance(values, Ragged) else None
