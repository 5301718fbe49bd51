"""Which rows of a batch a phase trains on, where it takes a share of the samples alone.

All views of a sample go together, and the order of samples is fixed for a trial: a larger share holds the smaller one,
so that a share that grows is a curriculum. Rows whose labels were set apart (`train.labelled`) always stay.
"""

from dataclasses import dataclass

import numpy as np

from .randomness import derive_seed
from .spec import SelectSpec


@dataclass(frozen=True, slots=True)
class Selection:
    """`rank` (samples,) float64 in [0, 1): the share from which on a sample is taken."""

    rank: np.ndarray
    views: int

    def rows(self, rows: np.ndarray, share: float, kept: int) -> np.ndarray:
        """Places in a batch, ascending int64, of the rows that are taken: the first `kept`, and those below the share.

        `rows` (B,) are row numbers of the cache. At least one row is taken, the one that comes first of all.
        """
        rank = self.rank[rows // self.views]
        taken = rank < share
        taken[:kept] = True
        if not taken.any():
            taken[int(np.argmin(rank))] = True
        return np.flatnonzero(taken)


def ordered(scores: np.ndarray, spec: SelectSpec, views: int) -> Selection:
    """Samples in the order of their scores (samples,), of which higher is surer; equal ones in the cache's order."""
    order = np.argsort(-scores if spec.favour == "sure" else scores, kind="stable")
    return Selection(_ranks(order), views)


def drawn(samples: int, views: int, seed: int) -> Selection:
    """Samples in an order drawn from the trial's seed: the control of every selection."""
    return Selection(_ranks(np.random.default_rng(derive_seed("select", seed)).permutation(samples)), views)


def _ranks(order: np.ndarray) -> np.ndarray:
    rank = np.empty(len(order))
    rank[order] = np.arange(len(order)) / max(1, len(order))
    return rank
