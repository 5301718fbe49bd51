"""The share of a GPU's memory that this process may take: what is lacking of it, and how long to wait for it.

Nothing here asks a GPU. It refuses to wait for ever: a queue has better uses for a node than a process that waits.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..errors import Interrupted

_FIRST, _LONGEST = 2.0, 60.0  # seconds between two looks


@dataclass(frozen=True, slots=True)
class MemoryShare:
    """`share` (0, 1] of the memory of a GPU, for which `patience` seconds are waited."""

    share: float
    patience: float = 600.0


@dataclass(frozen=True, slots=True)
class MemoryState:
    """Bytes of a GPU: `free` and `total` as its driver sees them, and `own`, which this process holds of it already."""

    free: int
    total: int
    own: int = 0

    def lacking(self, share: float) -> int:
        """Bytes that others hold of what this process is to have; 0 when there is enough."""
        return max(0, int(share * self.total) - self.own - self.free)


def delays(patience: float, chance: Callable[[], float] = random.random) -> Iterator[float]:
    """Seconds to wait between two looks, together `patience`: each about twice as long as the one before, up to a
    minute, and not quite, so that processes that wait for one another do not look in the same moment."""
    left, step = patience, _FIRST
    while left > 0:
        delay = min(left, step * (0.75 + 0.5 * chance()))
        yield delay
        left, step = left - delay, min(_LONGEST, 2 * step)


def await_memory(
    share: MemoryShare,
    device: str,
    look: Callable[[], MemoryState],
    sleep: Callable[[float], None],
    stop: Callable[[], bool],
    tell: Callable[[str], None],
) -> None:
    """Return when the share is free. Raises Interrupted once `stop()` says so or the patience is used up: the same
    command tries again, and a queue starts it again."""
    for delay in delays(share.patience):
        state = look()
        if not state.lacking(share.share):
            return
        tell(f"{device}: {_held(state, share)}; looking again in {delay:.0f} s")
        for _ in range(int(delay) + 1):  # a signal is answered within a second
            if stop():
                raise Interrupted(f"stopped while waiting for the memory of {device}; the same command continues")
            sleep(min(1.0, delay))
    state = look()
    if state.lacking(share.share):
        raise Interrupted(f"{device}: {_held(state, share)}, {share.patience:.0f} s long; try again later")


def _held(state: MemoryState, share: MemoryShare) -> str:
    asked, free, total = (x / 1e9 for x in (share.share * state.total, state.free, state.total))
    return f"others hold memory: {free:.1f} of {total:.1f} GB are free, and launch.memory_share asks for {asked:.1f} GB"
