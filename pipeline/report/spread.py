"""A figure over seeds: mean, sample standard deviation, and what two arms of the same seeds differ by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from statistics import fmean, stdev

from ...stages.deploy.metrics.figure_kind import Better

# Student's t, 0.975 quantile, 1 to 30 degrees of freedom (NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2).
_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
_T_LIMIT = 1.960


@dataclass(frozen=True, slots=True)
class Spread:
    """`values` one per seed; `std` with n - 1 in the denominator, None for a single value."""

    mean: float
    std: float | None
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """Per-seed differences to another arm, of the seeds that both have, in the figure's own unit (accuracies are
    fractions).

    `interval` is the paired 95 % t interval of the mean, None for a single seed.
    """

    over: str
    seeds: tuple[int, ...]
    mean: float
    std: float | None
    values: tuple[float, ...]
    interval: tuple[float, float] | None

    @property
    def direction(self) -> int:
        """1 or -1 when the interval lies above or below zero (for one seed: the value itself), else 0."""
        low, high = self.interval if self.interval is not None else (self.mean, self.mean)
        return (low > 0) - (high < 0)


def gain_over(
    values: Mapping[int, float], others: Mapping[int, float], over: str, better: Better = "higher"
) -> Difference | None:
    """How much better `values` are than `others`, both by seed, so that a gain is positive; None without a shared
    seed."""
    return paired_difference(values, others, over) if better == "higher" else paired_difference(others, values, over)


def spread(values: Sequence[float]) -> Spread:
    """The spread of at least one value; a value that is not finite leaves no deviation."""
    measurable = len(values) > 1 and all(isfinite(value) for value in values)
    return Spread(fmean(values), stdev(values) if measurable else None, tuple(values))


def paired_difference(values: Mapping[int, float], others: Mapping[int, float], over: str) -> Difference | None:
    """What `values` have more than `others`, both by seed; None when they share no seed."""
    seeds = tuple(sorted(values.keys() & others.keys()))
    if not seeds:
        return None
    found = spread([values[seed] - others[seed] for seed in seeds])
    return Difference(over, seeds, found.mean, found.std, found.values, _interval(found))


def _interval(found: Spread) -> tuple[float, float] | None:
    if found.std is None:
        return None
    freedom = len(found.values) - 1
    t = _T[freedom - 1] if freedom <= len(_T) else _T_LIMIT
    half = t * found.std / sqrt(len(found.values))
    return found.mean - half, found.mean + half
