"""Which losses can read logits that are not kept dense, and at which temperatures."""

from ....cache import SignalSchema
from ...errors import StageError
from ..losses import LOSSES
from ..objective.spec import TermSpec

_NOT_DENSE = {  # what codecs of logits keep, of which a loss needs to know
    "topk": "the top {k} entries",
    "pps": "a sample of {k} entries",
    "sampling": "a sample of {draws} draws",
}


def is_dense(schema: SignalSchema) -> bool:
    """Whether a signal is decoded to one array."""
    return schema.codec not in _NOT_DENSE


def check_codec(spec: TermSpec, place: str, schema: SignalSchema) -> None:
    """Raise StageError unless the term's loss reads the signal as it is kept, at its temperature."""
    if is_dense(schema):
        return
    if not LOSSES[spec.loss].sparse or spec.vocabulary is not None:
        kept = _NOT_DENSE[schema.codec].format(**schema.parameters)
        instead = "use kl" if spec.vocabulary is None else "over another vocabulary keep logits dense, or as codec head"
        raise StageError(f"{place}: signal {schema.name!r} keeps {kept} alone; {instead}")
    allowed = kept_temperatures(schema)
    if allowed is not None and spec.temperature not in allowed:
        stored = ", ".join(f"{t:g}" for t in allowed)
        what = "exact tail" if schema.codec == "topk" else "weights"
        field = "sample_temperature" if schema.codec == "sampling" else "temperatures"
        raise StageError(
            f"{place}: signal {schema.name!r} has no {what} at temperature {spec.temperature:g}, only at {stored}; "
            f"use one of them, or build the cache with it under cache.signals.{schema.name}.{field}"
        )


def kept_temperatures(schema: SignalSchema) -> tuple[float, ...] | None:
    """The temperatures at which a signal of logits can be read; None for all."""
    if schema.codec == "sampling":
        return (float(schema.parameters["sample_temperature"]),)
    kept = schema.parameters.get("temperatures")
    return None if kept is None else tuple(float(t) for t in kept)
