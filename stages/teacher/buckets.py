"""Texts of like length go through the teacher together: padding is computed for nothing.

A few batches are prepared at once, their rows are put in order of length, and what was heard goes back into the order
of the source, so that a cache knows nothing of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ...cache.codecs import HeadLogits, QueryKey, Ragged
from .families.family import family_of
from .inputs.batch import PreparedBatch
from .job import CacheJob
from .running.copies import to_device
from .signals.signal_schema import Heard

_TEXTS = ("text-encoder", "text-classifier", "causal-lm")  # teachers that are called with tokens alone
_BATCHES = 4  # prepared at once; what was heard of so many is in memory together


def piece_batches(job: CacheJob) -> int:
    """How many batches are prepared at once."""
    return _BATCHES if family_of(job.teacher, job.folder) in _TEXTS else 1


def piece_samples(job: CacheJob, batch_size: int) -> int:
    """How many samples are prepared at once, in passes of `batch_size` rows."""
    return max(1, batch_size // job.policy.count) * piece_batches(job)


def hear_rows(
    teacher: Callable[[Mapping[str, Tensor]], dict[str, Heard]],
    prepared: PreparedBatch,
    batch_size: int,
    device: torch.device,
) -> dict[str, Heard]:
    """What the teacher says of the rows of a prepared piece, at most `batch_size` of them in one pass, in their order.

    A piece that is one batch goes through as it is.
    """
    inputs, rows = prepared.inputs, prepared.rows
    mask = inputs.get("attention_mask")
    if rows <= batch_size:
        return teacher(to_device(inputs, device))
    if mask is None:
        passes = [{name: x[i : i + batch_size] for name, x in inputs.items()} for i in range(0, rows, batch_size)]
        heard = [teacher(to_device(one, device)) for one in passes]
        order = torch.arange(rows, device=device)
        return {name: _together([one[name] for one in heard], order) for name in heard[0]}
    lengths = mask.sum(dim=1)
    order = torch.argsort(lengths, stable=True)
    heard = [teacher(_cut(inputs, chosen, int(lengths[chosen].max()), device)) for chosen in order.split(batch_size)]
    back = torch.argsort(order).to(device)
    return {name: _together([one[name] for one in heard], back) for name in heard[0]}


def _cut(inputs: Mapping[str, Tensor], rows: Tensor, tokens: int, device: torch.device) -> dict[str, Tensor]:
    """The rows, padded to `tokens` and no further: they are padded on the right."""
    return to_device({name: value[rows][:, :tokens] for name, value in inputs.items()}, device)


def _together(parts: Sequence[Any], back: Tensor) -> Heard:
    """The rows of several passes as those of one, in the order that `back` (n,) says."""
    first = parts[0]
    match first:
        case Ragged():
            return Ragged(_rows([part.values for part in parts], back), _rows([part.lengths for part in parts], back))
        case QueryKey():
            query, key = (_rows([getattr(part, side) for part in parts], back) for side in ("query", "key"))
            lengths = None if first.lengths is None else _rows([part.lengths for part in parts], back)
            causal = next((part.causal for part in parts if part.causal is not None), None)
            return replace(first, query=query, key=key, lengths=lengths, causal=causal)
        case HeadLogits():
            return replace(first, hidden=_together([part.hidden for part in parts], back))
        case _:
            return _rows(parts, back)


def _rows(parts: Sequence[Tensor], back: Tensor) -> Tensor:
    """Padded with 0 to the longest: axes that count tokens are those that differ."""
    longest = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
    padded = []
    for part in parts:
        missing = [want - has for want, has in zip(longest, part.shape[1:], strict=True)]
        padded.append(functional.pad(part, [pad for more in reversed(missing) for pad in (0, more)]))
    return torch.cat(padded)[back]
