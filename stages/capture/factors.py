"""What a layer's attention is made of: its queries, keys and values, as they enter the attention.

Queries and keys say the probabilities exactly where a token sees all real tokens, or all earlier ones. Anything else
that shapes attention (a bias, a window, a soft cap) is refused here, because it would be lost without a sign.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...cache.codecs import QueryKey
from ..errors import StageError
from .ragged import ragged, token_runs


@dataclass(frozen=True, slots=True)
class RawQueryKey:
    """Scaled `query` (B, heads, T, d), `key` (B, key heads, T, d), and what decides who sees whom: a mask, or whether
    the layer is causal without one."""

    query: Tensor
    key: Tensor
    mask: Tensor | None
    causal: bool


def stacked(module: nn.Module, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """(B, 3, heads, T, d) of three (B, heads, T, d). Raises StageError for heads that are shared or unlike."""
    if not query.shape == key.shape == value.shape:
        shapes = ", ".join(str(tuple(each.shape[1:])) for each in (query, key, value))
        raise StageError(
            f"qkv.N: queries, keys and values of {type(module).__name__} are {shapes} (heads, tokens, width), and only "
            "equal ones stand side by side; heads that share keys can be kept with `codec: factored`"
        )
    return torch.stack([query, key, value], dim=1)


def raw_query_key(
    module: nn.Module, query: Tensor, key: Tensor, mask: Tensor | None, causal: bool, options: dict[str, Any]
) -> RawQueryKey:
    """As heard in a layer. Raises StageError for attention that queries and keys alone do not say."""
    if options.get("position_bias") is not None:
        raise StageError(f"attention of {type(module).__name__} has a position bias: keep it with u8sqrt, not factored")
    if query.shape[2] != key.shape[2]:
        raise StageError(f"attention of {type(module).__name__} is between two sequences, and cannot be kept factored")
    scaling = options.get("scaling")
    scaled = query.float() * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    return RawQueryKey(scaled, key, mask, causal)


def query_key(point: str, heard: RawQueryKey, attention_mask: Tensor | None) -> QueryKey:
    """What the codec keeps: who sees whom is told by lengths and causality alone.

    Raises StageError when it is not: a window, a prefix that is seen by all, tokens that see padding.
    """
    rows, _, tokens, _ = heard.query.shape
    if attention_mask is None:
        real = torch.ones((rows, tokens), dtype=torch.bool, device=heard.query.device)
    else:
        token_runs(attention_mask)
        real = attention_mask.to(torch.bool)
    causal = _causality(heard, real)
    pairs = real[:, None, :] & _below(real) if causal else real[:, None, :].expand(rows, tokens, tokens)
    if not bool(((_seen(heard, rows, tokens) == pairs) | ~real[:, :, None]).all()):
        raise StageError(
            f"{point}: a token of this layer does not see exactly the real tokens (or the earlier ones), as with a "
            "window or when the padding is seen: keep its attention with u8sqrt, not factored"
        )
    if attention_mask is None:
        return QueryKey(heard.query, heard.key, None, causal)
    query, key = (ragged(each, attention_mask, (1,)) for each in (heard.query, heard.key))
    return QueryKey(query.values, key.values, query.lengths, causal)


def _seen(heard: RawQueryKey, rows: int, tokens: int) -> Tensor:
    """Which keys a query sees: (B, T, T) bool."""
    if heard.mask is None:
        seen = torch.ones((tokens, tokens), dtype=torch.bool, device=heard.query.device)
        return (seen.tril() if heard.causal else seen).expand(rows, tokens, tokens)
    mask = heard.mask
    if mask.dtype != torch.bool:
        if bool(((mask != 0) & (mask > -1e4)).any()):
            raise StageError("attention with a bias in its mask cannot be kept factored: keep it with u8sqrt")
        mask = mask == 0
    if mask.shape[1] != 1 and bool((mask != mask[:, :1]).any()):
        raise StageError("attention whose heads see different tokens cannot be kept factored: keep it with u8sqrt")
    return mask[:, 0, :, :tokens].expand(rows, tokens, tokens)


def _causality(heard: RawQueryKey, real: Tensor) -> bool | None:
    """Whether no real token sees a later real one; None when no row has two."""
    later = real[:, :, None] & real[:, None, :] & ~_below(real)
    if not bool(later.any()):
        return None
    return not bool((_seen(heard, *real.shape) & later).any())


def _below(real: Tensor) -> Tensor:
    return torch.ones((real.shape[1],) * 2, dtype=torch.bool, device=real.device).tril()
