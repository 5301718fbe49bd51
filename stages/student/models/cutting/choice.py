"""Which heads, MLP units and widths are kept: the largest by magnitude, or the first.

Magnitude is the sum of squares of all weights that belong to a unit: of a head its rows of the query, key and value
projections and its columns of the output projection; of an MLP unit its rows and its column; of a width every weight of
the part that reads or writes it. Heads and MLP units are chosen in each layer by itself, widths once for all layers
(the residual stream is one), and the order among those that are kept stays.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .axes import Axes, Kind
from .settings import Choice

Read = Callable[[str], Tensor]
Place = tuple[Kind, int | None]  # what is chosen among, and in which layer of the origin; None for all layers
Indices = Mapping[Place, Tensor]


@dataclass(frozen=True, slots=True)
class Heads:
    """Attention before and after: query heads, key heads, width of a head."""

    heads: int
    keys: int
    size: int
    kept: int
    kept_keys: int
    kept_size: int

    @classmethod
    def of(cls, before: Any, after: Any) -> "Heads":
        """From two configs of a part."""
        found = [number for config in (before, after) for number in _heads(config)]
        return cls(*found)


def best(scores: Tensor, count: int, choice: Choice) -> Tensor:
    """`count` places of `scores` (n,), rising."""
    if choice == "first":
        return torch.arange(count)
    return torch.topk(scores, count).indices.sort().values


def axis_scores(names: Sequence[str], axes: Axes, kind: Kind, read: Read) -> Tensor:
    """Sum of squares along every axis of a kind, over tensors of the origin: (size of the kind,)."""
    total: Tensor | None = None
    for name in names:
        for axis, found in enumerate(axes[name]):
            if found == kind:
                squares = read(name).double().square()
                sums = squares.sum(dim=[other for other in range(squares.ndim) if other != axis])
                total = sums if total is None else total + sums
    assert total is not None, f"no axis counts {kind}"
    return total


def head_indices(queries: Tensor, keys: Tensor, heads: Heads, choice: Choice) -> tuple[Tensor, Tensor]:
    """Which rows of the query projection and of the key and value projections of a layer are kept, of the scores
    (heads * size,) and (key heads * size,). Query heads that share a key stay together."""
    group = heads.heads // heads.keys
    query = queries.view(heads.keys, group, heads.size)
    key = keys.view(heads.keys, heads.size)
    groups = best(query.sum(dim=(1, 2)) + key.sum(dim=1), heads.kept_keys, choice)
    within = torch.stack([best(s, heads.kept_size, choice) for s in (query.sum(dim=1) + key)[groups]])
    key_rows = groups[:, None] * heads.size + within
    first = (groups[:, None] * group + torch.arange(group)) * heads.size
    query_rows = first[:, :, None] + within[:, None, :]
    return query_rows.flatten(), key_rows.flatten()


def _heads(config: Any) -> tuple[int, int, int]:
    heads = int(config.num_attention_heads)
    keys = int(getattr(config, "num_key_value_heads", None) or heads)
    return heads, keys, int(getattr(config, "head_dim", None) or config.hidden_size // heads)
