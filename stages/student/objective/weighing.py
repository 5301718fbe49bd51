"""Whether the logits that rows are to be weighed by say what is asked of them."""

from collections.abc import Mapping

from ....cache import SignalSchema
from ...errors import StageError
from ..meeting.codecs import is_dense, kept_temperatures
from .spec import SampleWeightSpec, TermSpec


def check_sample_weight(spec: TermSpec, place: str, signals: Mapping[str, SignalSchema]) -> None:
    """Raise StageError unless the signals of a term's `sample_weight` can be weighed by."""
    if spec.sample_weight is None:
        return
    weight, place = spec.sample_weight, f"{place}: sample_weight"
    names = weight.signals or spec.targets
    if not names:
        raise StageError(f"{place}: name the logits that rows are weighed by under `signals`")
    if weight.by == "agreement" and len(names) < 2:
        raise StageError(f"{place}: agreement is between teachers: name two signals of logits or more")
    for name in names:
        if name not in signals:
            raise StageError(f"{place}: the cache has no signal {name!r}; it has {', '.join(signals)}")
        _check_signal(weight, place, signals[name])


def _check_signal(weight: SampleWeightSpec, place: str, schema: SignalSchema) -> None:
    if len(schema.target_shape) != 1 or schema.packing is not None:
        raise StageError(f"{place}: signal {schema.name!r} is {schema.target_shape}, and rows are weighed by (classes)")
    if is_dense(schema):
        return
    if weight.by == "agreement" or (weight.by == "margin" and schema.codec != "topk"):
        raise StageError(f"{place}: {weight.by} needs more than {schema.codec} keeps of {schema.name!r}; use entropy")
    told = schema.codec in ("pps", "sampling") or schema.parameters.get("entropy")
    if weight.by == "entropy" and (weight.temperature != 1 or not told):
        raise StageError(f"{place}: signal {schema.name!r} says its entropy at temperature 1 alone, where it is kept")
    if weight.by == "margin" and weight.temperature not in (kept_temperatures(schema) or ()):
        raise StageError(f"{place}: signal {schema.name!r} has no tail at temperature {weight.temperature:g}")
