"""Brings files near before they are needed: a few threads, a bounded queue, and no word about what goes wrong.

What could not be brought is brought, or complained about, when it is read.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Lock

from .errors import RemoteError

_AT_ONCE = 4
_MOST = 256  # files that may wait


class Ahead:
    """`ask` returns at once; `bring(name)` runs in a thread, once for a file that is asked for again and again."""

    def __init__(self, bring: Callable[[str], object]) -> None:
        self._bring, self._lock = bring, Lock()
        self._threads: tuple[int, ThreadPoolExecutor] | None = None
        self._waiting: dict[str, Future[None]] = {}

    def ask(self, names: Iterable[str]) -> None:
        """Have these files brought. What does not fit into the queue is left out."""
        with self._lock:
            threads = self._started()
            self._waiting = {name: future for name, future in self._waiting.items() if not future.done()}
            for name in names:
                if name not in self._waiting and len(self._waiting) < _MOST:
                    self._waiting[name] = threads.submit(self._quietly, name)

    def _started(self) -> ThreadPoolExecutor:
        """Threads of this process: a fork has none of its parent's."""
        if self._threads is None or self._threads[0] != os.getpid():
            self._threads = (os.getpid(), ThreadPoolExecutor(_AT_ONCE, "fetch-ahead"))
            self._waiting = {}
        return self._threads[1]

    def _quietly(self, name: str) -> None:
        with suppress(RemoteError, OSError):
            self._bring(name)
