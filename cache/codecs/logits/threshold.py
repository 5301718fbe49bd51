"""Threshold sampling (probability proportional to size, PPS) with a fixed number of entries.

Of sizes r the largest is kept for certain, and m of the others with inclusion min(1, r / tau), where tau makes these
inclusions sum to m. Then the Horvitz-Thompson weight max(r, tau) has expectation r, and among all schemes of m entries
its variance is the least (Duffield, Lund, Thorup 2007, "Priority sampling", and Fearnhead and Clifford 2003). Entries
are taken systematically, at equal steps from one random start, in the order of size: inclusions are exactly those, and
an entry of every size class is in the sample, which a random order would leave to chance.
"""

from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace, device

from ..codec import Array


@dataclass(frozen=True, slots=True)
class Draw:
    """`positions` (n, k) int64 into the ranked classes, ascending, the first 0; `threshold` (n,) float64, log tau."""

    positions: Array
    threshold: Array


def draw_by_threshold(ranked: Array, start: Array, k: int) -> Draw:
    """Draw k of C > k classes of each row. `ranked` (n, C) float64 are log sizes, largest first; `start` (n,) in (0, 1)
    is the row's random number."""
    xp = array_namespace(ranked)
    rest = xp.exp(ranked[:, 1:])
    tau = _threshold(xp, rest, k - 1)
    inclusion = xp.clip(rest / tau[:, None], None, 1.0)
    found = 1 + _systematic(xp, inclusion, start, k - 1)
    return Draw(xp.concat([xp.zeros_like(found[:, :1]), found], axis=-1), xp.log(tau))


def _threshold(xp: Any, rest: Array, m: int) -> Array:
    """tau (n,) with sum(min(1, rest / tau)) = m, of (n, C) sizes in descending order: the smallest h with
    rest[h] <= (sum of rest[h:]) / (m - h) tells how many are certain. Once true, this stays true for larger h."""
    left = xp.flip(xp.cumulative_sum(xp.flip(rest, axis=-1), axis=-1), axis=-1)[:, :m]  # small ones first: exact
    places = m - xp.arange(m, dtype=xp.float64, device=device(rest))
    certain = xp.sum(xp.astype(rest[:, :m] * places > left, xp.int64), axis=-1, keepdims=True)
    certain = xp.clip(certain, None, m - 1)
    return (xp.take_along_axis(left, certain, axis=-1) / (m - certain))[:, 0]


def _systematic(xp: Any, inclusion: Array, start: Array, m: int) -> Array:
    """Which entries of (n, C) the points start, start + 1, ... fall on, when each is as long as its inclusion."""
    rows, classes = inclusion.shape
    ends = xp.clip(xp.cumulative_sum(inclusion, axis=-1), None, float(m))
    ends[:, -1] = float(m)  # what rounding has left of the last step
    row = xp.arange(rows, dtype=xp.float64, device=device(inclusion))[:, None] * m  # all rows in one ascending line
    points = start[:, None] + xp.arange(m, dtype=xp.float64, device=device(inclusion)) + row
    place = xp.searchsorted(xp.reshape(ends + row, (-1,)), xp.reshape(points, (-1,)), side="right")
    first = xp.arange(rows, dtype=xp.int64, device=device(inclusion))[:, None] * classes
    return xp.clip(xp.reshape(xp.astype(place, xp.int64), (rows, m)) - first, 0, classes - 1)
