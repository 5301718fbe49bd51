"""Whose label a view of two samples has: in each step that of one of them, drawn with the probability of its share.

In the mean over steps that is the loss against the soft label of mixup and cutmix, for every loss that reads labels. A
row whose partner's label is hidden cannot be drawn so, and is no labelled row.
"""

from dataclasses import dataclass

import numpy as np

from ....cache import Cache
from ....cache.reading.order import random_generator
from ....data import ViewPolicy

_WHOSE = 4  # a stream of random numbers of its own, beside those of plan.py


@dataclass(frozen=True, slots=True)
class MixedRows:
    """Of every row of a cache: `own` int64 (rows,) its sample, `partner` int64 (rows,) the sample that is mixed in, its
    own where none is, and `share` float32 (rows,) how much of the view is its own."""

    own: np.ndarray
    partner: np.ndarray
    share: np.ndarray

    def samples(self, rows: np.ndarray, step: int, seed: int) -> np.ndarray:
        """Whose label each row (n,) has in a step: sample numbers int64 (n,)."""
        drawn = random_generator(seed, _WHOSE, step).random(len(rows))
        found: np.ndarray = np.where(drawn < self.share[rows], self.own[rows], self.partner[rows])
        return found

    def known(self, rows: np.ndarray) -> np.ndarray:
        """Those of `rows`, all views of the labelled samples, whose partner is a labelled sample too."""
        labelled = np.zeros(int(self.own[-1]) + 1, bool)
        labelled[self.own[rows]] = True
        found: np.ndarray = rows[labelled[self.partner[rows]]]
        return found


def mixed_rows(cache: Cache, policy: ViewPolicy) -> MixedRows | None:
    """What the stored parameters of a cache say; None for a policy that does not mix."""
    if not policy.mixes:
        return None
    partners, shares, before = [], [], 0
    for shard in cache.shards:
        partner, share = policy.partners(cache.reader(shard).parameters)
        own = before + np.arange(len(partner)) // cache.manifest.views
        partners.append(np.where(partner >= 0, before + partner, own))
        shares.append(share.astype(np.float32))
        before += len(partner) // cache.manifest.views
    own = np.arange(cache.rows) // cache.manifest.views
    return MixedRows(own, np.concatenate(partners), np.concatenate(shares))
