"""Attention, or its queries, keys and values, at the price of the layers that are listened to; all others stay on SDPA.

transformers' fast attention returns no probabilities, and `output_attentions=True` then gives an empty tuple. So this
file registers an attention function of its own under transformers' `AttentionInterface`. It holds no state: who listens
stands on the attention module itself, as long as the listening lasts. It refuses attention it cannot compute exactly
(soft caps, sinks) and never returns an approximation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..errors import StageError
from .factors import raw_query_key, stacked
from .windows import window_modules

IMPLEMENTATION = "teachercache"
_EARS = "_teachercache_ears"
_PREVIOUS = "_teachercache_previous_attention"
_LOCK = Lock()
Heard = Literal["attention", "qkv", "qk"]


@dataclass(frozen=True, slots=True)
class Ear:
    """Who listens to a layer, and to what: its probabilities, the stacked (B, 3, heads, T, d), or a RawQueryKey."""

    kind: Heard
    hear: Callable[[nn.Module, Any], None]


def attention_modules(model: nn.Module) -> list[nn.Module]:
    """The attention modules of a transformers model in layer order, as transformers itself declares them.

    Empty for a model without attention, and for one whose attention does not run through transformers' attention
    interface. Swin's, which is inside windows, is among them (`windows.py`).
    """
    from transformers import PreTrainedModel

    classes = tuple(
        kind
        for part in model.modules()
        if isinstance(part, PreTrainedModel) and part._can_set_attn_implementation()
        for kind in _declared_classes(part)
        if "Attention" in kind.__name__
    )
    found = [module for module in model.modules() if isinstance(module, classes)]
    return found or window_modules(model)


def start_hearing(model: Any, modules: list[nn.Module], ear: Ear) -> None:
    """Hand what `ear` wants of `modules` (parts of the transformers model `model`) to it in every forward pass."""
    with _LOCK:
        _register()
        if model.config._attn_implementation != IMPLEMENTATION:
            setattr(model, _PREVIOUS, model.config._attn_implementation)
            model.set_attn_implementation(IMPLEMENTATION)
        for module in modules:
            setattr(module, _EARS, (*getattr(module, _EARS, ()), ear))


def stop_hearing(model: Any, modules: list[nn.Module], ear: Ear) -> None:
    """Undo `start_hearing`; with the last ear the model's own attention comes back."""
    with _LOCK:
        for module in modules:
            left = tuple(other for other in getattr(module, _EARS) if other != ear)
            setattr(module, _EARS, left) if left else delattr(module, _EARS)
        if hasattr(model, _PREVIOUS) and not any(hasattr(module, _EARS) for module in model.modules()):
            model.set_attn_implementation(getattr(model, _PREVIOUS))
            delattr(model, _PREVIOUS)


def heard_inside_attention(module: nn.Module) -> bool:
    """Whether someone listens to this attention module."""
    return hasattr(module, _EARS)


def hearing_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, Tensor | None]:
    """The function transformers calls for each layer; query (B, heads, T, d), key and value (B, key heads, S, d).

    Returns the output (B, T, heads, d) and, where someone listens to them, the probabilities (B, heads, T, S) in
    float32.
    """
    ears: tuple[Ear, ...] = getattr(module, _EARS, ())
    _refuse_inexact(module, options, ears)
    for ear in ears:
        if ear.kind == "qkv":
            ear.hear(module, stacked(module, query, key, value))
        elif ear.kind == "qk":
            causal = _is_causal(module, options)
            ear.hear(module, raw_query_key(module, query, key, attention_mask, causal, options))
    if not any(ear.kind == "attention" for ear in ears):
        return _fast(module, query, key, value, attention_mask, options)
    probabilities = _probabilities(module, query, key, attention_mask, options)
    for ear in ears:
        if ear.kind == "attention":
            ear.hear(module, probabilities)
    dropped = nn.functional.dropout(probabilities, options.get("dropout") or 0.0, training=module.training)
    value = _share_heads(value, query)
    return (dropped.to(value.dtype) @ value).transpose(1, 2).contiguous(), probabilities


def _fast(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, options: dict[str, Any]
) -> tuple[Tensor, None]:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    output: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, mask, **options)
    return output


def _refuse_inexact(module: nn.Module, options: dict[str, Any], ears: tuple[Ear, ...]) -> None:
    """Where someone listens to attention that this version does not compute as the model does."""
    for name in ("softcap", "s_aux", "cache"):
        if ears and options.get(name) is not None:
            raise StageError(f"attention of {type(module).__name__} uses {name}, which this version cannot listen to")


def _probabilities(
    module: nn.Module, query: Tensor, key: Tensor, mask: Tensor | None, options: dict[str, Any]
) -> Tensor:
    """softmax(Q K^T * scaling + mask + bias) in float32, (B, heads, T, S); Vaswani et al. 2017, equation 1."""
    scaling = options.get("scaling")
    scores: Tensor = (query @ _share_heads(key, query).transpose(-2, -1)).float()
    scores = scores * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if (bias := options.get("position_bias")) is not None:
        scores = scores + bias
    if mask is not None:
        lowest = torch.finfo(scores.dtype).min
        scores = scores.masked_fill(~mask, lowest) if mask.dtype == torch.bool else scores + mask
    elif _is_causal(module, options) and scores.shape[-2] > 1:
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~seen, torch.finfo(scores.dtype).min)
    return scores.softmax(dim=-1)


def _is_causal(module: nn.Module, options: dict[str, Any]) -> bool:
    """As transformers' SDPA function decides it when there is no mask."""
    given = options.get("is_causal")
    return bool(getattr(module, "is_causal", True) if given is None else given)


def _share_heads(values: Tensor, query: Tensor) -> Tensor:
    """(B, key heads, S, d) -> (B, heads, S, d): grouped-query attention repeats each key head for its group."""
    groups = query.shape[1] // values.shape[1]
    return values if groups == 1 else values.repeat_interleave(groups, dim=1)


def _declared_classes(model: Any) -> list[type[nn.Module]]:
    """The classes whose attentions transformers records for `output_attentions=True`."""
    declared = (model._can_record_outputs or {}).get("attentions", ())
    entries = declared if isinstance(declared, list | tuple) else (declared,)
    classes = (getattr(entry, "target_class", entry) for entry in entries)
    return [kind for kind in classes if isinstance(kind, type)]


def _register() -> None:
    """Make the implementation known to transformers; the second time it changes nothing."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(IMPLEMENTATION, hearing_attention)
    AttentionMaskInterface.register(IMPLEMENTATION, sdpa_mask)
