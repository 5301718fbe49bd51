"""Places in a ranking by similarity: how many groups are nearer to a query than its own one.

Candidates of one group count as one, the nearest of them. So an image that stands in the set once for each of its
captions takes one place and not five. Groups that are exactly as near share their places: what comes out is the mean
over all orders of them, so that a model that says the same of everything is at chance and not at 100 %.
"""

import numpy as np
import torch
from torch import Tensor

_CELLS = 2**24  # similarities that are held at once


def hit_rates(
    queries: np.ndarray, own: np.ndarray, candidates: np.ndarray, groups: np.ndarray, ks: tuple[int, ...]
) -> list[float]:
    """Share of queries whose own group is among the k nearest ones, for each k.

    `queries` float32 (n, d) and `candidates` (m, d) are compared by their product; `own` (n,) and `groups` (m,) int64
    number the groups from 0, and each query's group has a candidate.
    """
    nearer, level = _places(torch.from_numpy(queries), torch.from_numpy(own), candidates, torch.from_numpy(groups))
    return [float(((k - nearer) / (level + 1)).clamp(0, 1).mean()) for k in ks]


def _places(queries: Tensor, own: Tensor, candidates: np.ndarray, groups: Tensor) -> tuple[Tensor, Tensor]:
    """Groups that are nearer than the own one, and others that are as near, float64 (n,) both."""
    others, count = torch.from_numpy(candidates).T.contiguous(), int(groups.max()) + 1
    rows = max(1, _CELLS // max(1, others.shape[1]))
    nearer, level = [], []
    for start in range(0, len(queries), rows):
        similarity = queries[start : start + rows] @ others
        index = groups.expand(len(similarity), -1)
        best = torch.full((len(similarity), count), -torch.inf).scatter_reduce(1, index, similarity, "amax")
        mine = best.gather(1, own[start : start + rows, None])
        nearer.append((best > mine).sum(dim=1))
        level.append((best == mine).sum(dim=1) - 1)
    return torch.cat(nearer).double(), torch.cat(level).double()
