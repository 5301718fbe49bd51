"""When a student is pruned, and how much stays each time: pure functions of the settings."""

from math import ceil

from ...errors import StageError
from .spec import PruneSpec


def prune_steps(spec: PruneSpec, steps: int, place: str) -> tuple[int, ...]:
    """Numbers of the steps (0 is the first) before which some go, evenly from start to end of `steps`.

    Raises StageError where two fall on one step, or one has no step before or after it.
    """
    span = (spec.end - spec.start) / max(1, spec.steps - 1)
    found = tuple(round((spec.start + number * span) * steps) for number in range(spec.steps))
    if len(set(found)) < len(found) or found[0] < 1 or found[-1] >= steps:
        raise StageError(f"{place}.prune: {steps} steps are too few to prune {spec.steps} times between them")
    return found


def kept_of(size: int, spec: PruneSpec, number: int) -> int:
    """How many of `size` (as there were at first) stay after the `number`-th time (1 is the first): the share falls
    evenly to `to`. Rounded up to a multiple; at least one stays."""
    share = 1 - (1 - spec.to) * number / spec.steps
    return min(size, max(1, ceil(round(size * share, 6) / spec.multiple)) * spec.multiple)
