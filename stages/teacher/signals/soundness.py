"""What makes a row unfit to be kept: a value that is not finite, or one that packing would drop without a sign.

Both are marked row by row on the device, which is never made to wait; whoever takes the copy looks at the marks.
"""

import torch
from torch import Tensor

from ....cache.codecs import HeadLogits, Packing, QueryKey, Ragged
from ....cache.codecs.packing import causal_pairs, real_tokens
from .signal_schema import Heard

_NOTHING = 1e-6  # a probability that says nothing
_OFF = 0.01  # how far from 1 the probabilities of a query may sum, as half precision rounds them


def finite_rows(values: Heard, packing: Packing | None) -> Tensor:
    """Which rows (n,) hold finite values alone; what stands in the padding does not matter."""
    if isinstance(values, QueryKey):
        return _finite_query_key(values)
    if isinstance(values, HeadLogits):
        return finite_rows(values.hidden, packing)
    if isinstance(values, Ragged):
        return _finite(_silent_padding(values, packing.axes if packing is not None else ()))
    return _finite(values)


def whole_rows(values: Heard, packing: Packing | None) -> Tensor | None:
    """Which rows (n,) lose nothing when their maps are cut: no real query looks at padding, nor, where the packing is
    causal, at later tokens; and its probabilities sum to 1 where one of them is implied. None for what is not cut."""
    if packing is None or len(packing.axes) != 2 or isinstance(values, QueryKey | HeadLogits):
        return None
    maps = values.values if isinstance(values, Ragged) else values
    tokens = maps.shape[packing.axes[0] + 1]
    lengths = values.lengths if isinstance(values, Ragged) else torch.full((len(maps),), tokens, device=maps.device)
    real = real_tokens(lengths, tokens)
    kept = real[:, None, :] & causal_pairs(real) if packing.causal else real[:, None, :]
    dropped = real[:, :, None] & ~kept
    maps = maps.movedim(tuple(axis + 1 for axis in packing.axes), (1, 2))
    lost = maps.abs().masked_fill(~dropped.view(*dropped.shape, *[1] * (maps.ndim - 3)), 0.0)
    whole: Tensor = lost.flatten(1).amax(dim=1) <= _NOTHING
    return whole & _sum_to_one(maps, real) if packing.implied else whole


def _sum_to_one(maps: Tensor, real: Tensor) -> Tensor:
    """Whether the real queries of maps (n, query, key, ...) are probabilities: (n,) bool."""
    off = (maps.sum(dim=2, dtype=torch.float32) - 1).abs()
    off = off.masked_fill(~real.view(*real.shape, *[1] * (off.ndim - 2)), 0.0)
    return off.flatten(1).amax(dim=1) <= _OFF


def _finite(values: Tensor) -> Tensor:
    """In one pass: minimum and maximum carry NaN and infinity."""
    if values[0:1].numel() == 0:
        return torch.ones(len(values), dtype=torch.bool, device=values.device)
    low, high = torch.aminmax(values.flatten(1), dim=1)
    return torch.isfinite(low) & torch.isfinite(high)


def _finite_query_key(values: QueryKey) -> Tensor:
    sides: list[Tensor] = [values.query, values.key]
    if values.lengths is not None:
        sides = [_silent_padding(Ragged(side, values.lengths), (1,)) for side in sides]
    return _finite(sides[0]) & _finite(sides[1])


def _silent_padding(values: Ragged, axes: tuple[int, ...]) -> Tensor:
    """The values with 0 in their padding: what a model says there may be anything."""
    padded: Tensor = values.values
    for axis in axes:
        shape = [len(padded), *[1] * (padded.ndim - 1)]
        shape[axis + 1] = padded.shape[axis + 1]
        padded = padded.masked_fill(~real_tokens(values.lengths, padded.shape[axis + 1]).view(shape), 0.0)
    return padded
