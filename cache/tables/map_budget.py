"""How many files a process maps at once. The system has a limit for all libraries together (65,530 on Linux).

When the budget is used up every table of the process starts anew; what was mapped goes when its last reader is done.
"""

import os
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Protocol
from weakref import WeakSet

# Held while tables change, and across a fork, so that a child never inherits a table in the middle of a change.
CHANGING = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=CHANGING.acquire, after_in_parent=CHANGING.release, after_in_child=CHANGING.release)


class Renewed(Protocol):
    """Something that holds maps and can begin anew."""

    def renew(self) -> None:
        """Let go of every map."""


class MapBudget:
    """Counts maps of the whole process."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._holders: WeakSet[Renewed] = WeakSet()
        self._maps: dict[int, int] = {}  # maps of each range, by its address

    def join(self, holder: Renewed) -> None:
        """Take part in starting anew."""
        self._holders.add(holder)

    def add(self, address: int) -> None:
        """One more map in the range at this address; while CHANGING is held."""
        self._maps[address] = self._maps.get(address, 0) + 1

    def forget(self, address: int) -> None:
        """The range at this address was given back."""
        self._maps.pop(address, None)

    def make_room(self, maps: int) -> bool:
        """Whether all holders had to start anew so that this many maps fit; while CHANGING is held."""
        if sum(list(self._maps.values())) + maps <= self.most:
            return False
        for holder in list(self._holders):
            holder.renew()
        return True


@cache
def map_budget() -> MapBudget:
    """The budget of this process: half of what the system allows."""
    most = 65530
    with suppress(OSError, ValueError):
        most = int(Path("/proc/sys/vm/max_map_count").read_text())
    return MapBudget(most // 2)
