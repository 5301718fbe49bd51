"""Decoded chunks that are kept for the next rows of them: the least recently used go first. One for the process."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import cache

import numpy as np

from ..errors import CacheError

Key = tuple[int, int, int]  # the array (see `own_key`), the shard, the chunk
VARIABLE = "TEACHERCACHE_CHUNK_MEMORY"


class ChunkMemory:
    """At most `most` bytes of arrays, and the one that is read. Safe in threads."""

    def __init__(self, most: int) -> None:
        self.most, self.used = most, 0
        self._found: OrderedDict[Key, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._anew)

    def get(self, key: Key, decode: Callable[[], np.ndarray]) -> np.ndarray:
        """The chunk, decoded when it is not here."""
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
        chunk = decode()  # outside the lock: two threads may do it at once, and one result is kept
        with self._lock:
            if key not in self._found:
                self._found[key] = chunk
                self.used += chunk.nbytes
                while self.used > self.most and len(self._found) > 1:
                    self.used -= self._found.popitem(last=False)[1].nbytes
        return chunk

    def forget(self, array: int) -> None:
        """Drop the chunks of an array."""
        with self._lock:
            for key in [key for key in self._found if key[0] == array]:
                self.used -= self._found.pop(key).nbytes

    def _anew(self) -> None:
        """In a forked child: another thread may have held the lock."""
        self._lock, self._found, self.used = threading.Lock(), OrderedDict(), 0


@cache
def chunk_memory() -> ChunkMemory:
    """The memory of this process: a quarter of the machine's and at most 2 GiB, or what the environment says."""
    asked = os.environ.get(VARIABLE)
    if asked is not None:
        if not asked.isdecimal():
            raise CacheError(f"{VARIABLE} is {asked!r}; it is a number of bytes")
        return ChunkMemory(int(asked))
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return ChunkMemory(min(machine // 4, 1 << 31))
