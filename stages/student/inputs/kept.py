"""What was made of shards, kept: in memory up to a bound, beyond it in files without a name that are mapped.

Every shard is made once. Files lie where TMPDIR says, and are gone when the process is.
"""

import tempfile
import threading
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from ...errors import StageFailed
from .held import Held

MEMORY = 2 << 30  # bytes of values that stay in memory, of all workers together


class Kept:
    """By key, made when first asked for. Safe in threads; a copy in another process begins empty."""

    def __init__(self, memory: int = MEMORY) -> None:
        self._memory, self._left = memory, memory
        self._held: dict[Hashable, Held] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Kept, (self._memory,)

    def get(self, key: Hashable, make: Callable[[], Held]) -> Held:
        """What is kept, or else what `make` makes. Raises StageFailed when there is no room for it on the disk."""
        with self._lock:
            if key not in self._held:
                made = make()
                fits = made.values.nbytes <= self._left
                self._held[key] = made if fits else made.moved(_mapped(made.values))
                self._left -= made.values.nbytes if fits else 0
            return self._held[key]


def _mapped(values: np.ndarray) -> np.ndarray:
    """Equal values in a file that is mapped."""
    try:
        with tempfile.TemporaryFile(prefix="teachercache-inputs-") as file:
            values.tofile(file)
            file.flush()
            return np.memmap(file, values.dtype, "r", shape=values.shape)
    except OSError as error:
        raise StageFailed(
            f"inputs beyond {MEMORY >> 30} GiB are kept in {tempfile.gettempdir()}, which does not take them "
            f"({error.strerror}); make room there, or set TMPDIR to another folder"
        ) from error
