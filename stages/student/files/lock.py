"""One run per trial folder. The lock is the operating system's: it goes with the process, however that ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import StageError
from .durable_files import write_errors


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold `folder` within the context. Raises StageError when another process holds it.

    On systems and file systems without such locks nothing is held.
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
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StageError(
                f"another process is training in {folder}; wait for it, or choose another `output`"
            ) from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(descriptor)
