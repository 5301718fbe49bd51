"""Attention of a tower that lays the images of a batch end to end (Qwen2-VL and kin), and attends image by image.

Its layers run their attention once for each sequence: an image, or a window of one. What they say stands side by side
here, sequence by sequence in the tower's own order, so that whoever knows how many rows there are can fold it. It
refuses sequences of different lengths, and a layer that did not see every token of the tower once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..errors import StageError
from .factors import RawQueryKey


def packed_tokens(output: Any) -> int | None:
    """How many tokens a tower laid end to end, whose last hidden state then has no axis of rows; None for any other."""
    fields = output if isinstance(output, Mapping) else getattr(output, "__dict__", {})
    state = fields.get("last_hidden_state")
    return len(state) if isinstance(state, Tensor) and state.ndim == 2 and fields.get("logits") is None else None


def sequences(point: str, heard: Sequence[Any], tokens: int) -> Any:
    """What a layer said of each sequence, (1, ...) each, side by side: (sequences, ...)."""
    lengths = [_length(values) for values in heard]
    if len(set(lengths)) != 1 or sum(lengths) != tokens:
        raise StageError(
            f"{point}: its layer attends within sequences of {', '.join(map(str, sorted(set(lengths)))) or 'no'} "
            f"tokens, of {tokens} in all: only sequences of one length, which hold every token once, stand side by side"
        )
    if isinstance(heard[0], RawQueryKey):
        query, key = (torch.cat([getattr(values, side) for values in heard]) for side in ("query", "key"))
        mask = None if heard[0].mask is None else torch.cat([values.mask for values in heard])
        return replace(heard[0], query=query, key=key, mask=mask)
    return torch.cat(list(heard))


def _length(values: Any) -> int:
    """Tokens of a sequence: of maps (1, heads, T, T), of queries, keys and values (1, 3, heads, T, d), of factors."""
    if isinstance(values, RawQueryKey):
        return int(values.query.shape[2])
    return int(values.shape[-2])
