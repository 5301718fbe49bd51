"""Decoded chunks that are kept for the next rows of them: the least recently used go first. One for the process."""

import os
import queue
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import cache

import numpy as np

from ..errors import CacheError

Key = tuple[int, int, int]  # number of the part's reader, the shard, the chunk
Decode = Callable[[], np.ndarray]
VARIABLE = "TEACHERCACHE_CHUNK_MEMORY"


class ChunkMemory:
    """At most `most` bytes of arrays, and the one that is read. Each chunk is decoded once, whoever asks, while it is
    here. Safe in threads; a forked child begins with nothing."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._begin()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self.used = 0
        self._found: OrderedDict[Key, np.ndarray] = OrderedDict()
        self._coming: dict[Key, Future[np.ndarray]] = {}
        self._lock = threading.Lock()
        self._wanted: queue.SimpleQueue[tuple[Key, Decode]] | None = None
        self._gone: deque[int] = deque()  # arrays that nobody reads any more

    def get(self, key: Key, decode: Decode) -> np.ndarray:
        """The chunk; when it is not here it is decoded, or waited for. Raises what `decode` raises."""
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
            coming = self._coming.get(key)
            if coming is None:
                mine = self._coming[key] = Future()
        if coming is not None:
            return coming.result()
        try:
            chunk = decode()
        except BaseException as error:
            mine.set_exception(error)
            raise
        else:
            mine.set_result(chunk)
            self._keep(key, chunk)
            return chunk
        finally:
            with self._lock:
                self._coming.pop(key, None)

    def soon(self, key: Key, decode: Decode) -> None:
        """Have a chunk decoded by a thread of its own; an error is met by whoever reads the chunk."""
        with self._lock:
            if self._wanted is None:
                self._wanted = queue.SimpleQueue()
                threading.Thread(target=self._work, args=(self._wanted,), name="chunks", daemon=True).start()
        self._wanted.put((key, decode))

    def forget(self, array: int) -> None:
        """Drop the chunks of an array, soon: the collector of garbage calls this at any moment, also in a thread that
        holds the lock, and then it waits for the next chunk that is kept."""
        self._gone.append(array)
        if self._lock.acquire(blocking=False):
            try:
                self._drop()
            finally:
                self._lock.release()

    def _drop(self) -> None:
        """While the lock is held."""
        gone = {self._gone.popleft() for _ in range(len(self._gone))}
        for key in [key for key in self._found if key[0] in gone] if gone else ():
            self.used -= self._found.pop(key).nbytes

    def _keep(self, key: Key, chunk: np.ndarray) -> None:
        with self._lock:
            self._drop()
            if key not in self._found:
                self._found[key] = chunk
                self.used += chunk.nbytes
                while self.used > self.most and len(self._found) > 1:
                    self.used -= self._found.popitem(last=False)[1].nbytes

    def _work(self, wanted: "queue.SimpleQueue[tuple[Key, Decode]]") -> None:
        while True:
            key, decode = wanted.get()
            with suppress(Exception):
                self.get(key, decode)
            del decode  # it holds a reader


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
