"""The keywords of a term's loss: which fields it takes, and what is set."""

from collections.abc import Mapping
from typing import Any

from ...errors import StageError
from ..losses import LOSSES
from .spec import TermSpec

_OPTIONS = (
    "temperature",
    "average",
    "label_smoothing",
    "alpha",
    "beta",
    "gamma",
    "delta",
    "t",
    "scale",
    "target_scale",
    "bias",
    "heads",
    "shares",
    "bins",
    "token_ids",
    "target_token_ids",
)


def loss_options(spec: TermSpec, numbers: Mapping[str, float] | None = None) -> dict[str, Any]:
    """The keywords of a term's loss that are set, `numbers` of this step among them; the loss's own defaults stand for
    the others. What a companion gives (a learnt scale, a bank) is not here."""
    given = {name: getattr(spec, name) for name in LOSSES[spec.loss].options} | dict(numbers or {})
    given = {name: value for name, value in given.items() if name in LOSSES[spec.loss].options}
    return {name: value for name, value in given.items() if value is not None and value not in ("learnt", "teacher")}


def check_options(spec: TermSpec, place: str) -> None:
    """Raise StageError for a field that the term's loss does not take, and for one that it needs."""
    loss = LOSSES[spec.loss]
    heads_mean = spec.heads == "mean" and spec.loss.startswith("attention")
    for name in _OPTIONS:
        taken = name in loss.options or (name == "heads" and heads_mean) or (name == "scale" and loss.kept == "bank")
        if not taken and getattr(spec, name) != TermSpec.model_fields[name].default:
            raise StageError(f"{place}: {spec.loss} takes no {name}")
    if spec.heads == "mean" and not heads_mean:
        raise StageError(f"{place}: heads: mean is for attention; {spec.loss} takes a number of relation heads")
    for name in ("scale", "heads"):
        if isinstance(getattr(spec, name), int | float) and getattr(spec, name) <= 0:
            raise StageError(f"{place}: {name} is {getattr(spec, name):g}, and must be above 0")
    if spec.projector is not None and not loss.projected:
        able = ", ".join(name for name, each in LOSSES.items() if each.projected)
        raise StageError(f"{place}: {spec.loss} takes no projector; these do: {able}")
    if spec.loss == "taid" and spec.t is None:
        raise StageError(f"{place}: taid needs t, how far the target is on its way from the student to the teacher")
    if spec.loss == "minilm_qkv" and spec.heads is None:
        raise StageError(f"{place}: minilm_qkv needs heads, the number of relation heads")
    if loss.kept == "bank" and isinstance(spec.scale, str):
        raise StageError(f"{place}: the scale of crd is a number: its constant is that of the first batch")
    if (spec.bank is not None) != (loss.kept == "bank"):
        raise StageError(f"{place}: " + ("crd needs bank, a number of rows" if spec.bank is None else "takes no bank"))
    _check_vocabulary(spec, place)


def _check_vocabulary(spec: TermSpec, place: str) -> None:
    loss = LOSSES[spec.loss]
    if spec.vocabulary is not None and not ("temperature" in loss.options and loss.masked and not loss.free):
        raise StageError(f"{place}: {spec.loss} compares no vocabularies; use kl or another divergence between logits")
