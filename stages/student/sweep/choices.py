"""Which settings a sweep tries, in which order: a pure function of its own settings.

Trial n of a random sweep is drawn from (seed, n, path) alone: more trials, or another parameter, leave the values that
were drawn before as they were, and so their trained students.
"""

from itertools import product
from math import exp, log, prod
from typing import Any

import numpy as np
import xxhash

from .spec import RangeSpec, SweepSpec

_MOST = 1000  # trials of a grid; more is a slip
_REDRAWS = 1000


def choices(sweep: SweepSpec) -> list[dict[str, Any]]:
    """The value of each parameter in each trial, by dotted path. Raises ValueError for too many, or too few."""
    return _grid(sweep) if sweep.kind == "grid" else _random(sweep)


def _grid(sweep: SweepSpec) -> list[dict[str, Any]]:
    """The last parameter changes fastest."""
    lists = [values for values in sweep.parameters.values() if not isinstance(values, RangeSpec)]
    count = prod(map(len, lists))
    if count > _MOST:
        raise ValueError(f"a grid of {count:,} trials; at most {_MOST:,} are made: leave values out, or draw some")
    return [dict(zip(sweep.parameters, values, strict=True)) for values in product(*lists)]


def _random(sweep: SweepSpec) -> list[dict[str, Any]]:
    """Trials that differ: one that was drawn before is drawn again."""
    found: list[dict[str, Any]] = []
    for number in range(sweep.trials or 0):
        drawn = ({path: _draw(sweep, path, number, again) for path in sweep.parameters} for again in range(_REDRAWS))
        fresh = next((one for one in drawn if one not in found), None)
        if fresh is None:
            raise ValueError(f"trials: {sweep.trials} are asked for, and the lists allow {len(found)} that differ")
        found.append(fresh)
    return found


def _draw(sweep: SweepSpec, path: str, number: int, again: int) -> Any:
    values = sweep.parameters[path]
    # As trial.randomness derives seeds, which the command line must not wait for torch to import.
    draw = np.random.default_rng(xxhash.xxh3_64_intdigest(f"sweep/{sweep.seed}/{number}/{again}/{path}".encode()))
    if not isinstance(values, RangeSpec):
        return values[int(draw.integers(len(values)))]
    if values.integer and not values.log:
        return int(draw.integers(int(values.low), int(values.high), endpoint=True))
    if values.log:
        found = exp(draw.uniform(log(values.low), log(values.high)))
    else:
        found = draw.uniform(values.low, values.high)
    # Four digits are plenty to try, and can be read and written again.
    return round(found) if values.integer else min(max(float(f"{found:.4g}"), values.low), values.high)
