"""Two runs of one trial keep out of each other's way where they can, and do each other no harm where they cannot.

The lock is the operating system's, and goes with the process, however that ends. It is a courtesy: on a network file
system it may outlive a machine that died, so nothing that is written relies on it. Checkpoints are published under
their step by renaming, each run finishes with its own history, and the student that is saved first stays.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...errors import Interrupted, StageError
from .durable_files import write_errors

_LOOK = 0.2  # seconds between two tries


@dataclass(frozen=True, slots=True)
class Patience:
    """Until when (`time.monotonic`) the other run is waited for; after that this one runs beside it."""

    deadline: float
    stop: Callable[[], bool] = lambda: False


@contextmanager
def folder_lock(folder: Path, patience: Patience | None = None) -> Iterator[None]:
    """Hold `folder` within the context, as far as the system has such locks.

    Without `patience` StageError is raised when another process holds it; with it, this waits for a while, and then
    goes on without. Raises Interrupted when it is asked to stop meanwhile.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if _wait(folder, patience):
                    continue
            except OSError:  # a file system without locks
                pass
            break
        yield
    finally:
        os.close(descriptor)


def _wait(folder: Path, patience: Patience | None) -> bool:
    """Whether to try again. Raises StageError where nobody wants to wait."""
    if patience is None:
        raise StageError(
            f"another process is training in {folder}; wait for it, or choose another `output`. (If none is alive, a "
            f"network file system has kept its lock: delete {folder / '.lock'})"
        )
    if patience.stop():
        raise Interrupted("stopped before the first step; the same command continues")
    if time.monotonic() >= patience.deadline:
        return False
    time.sleep(_LOOK)
    return True
