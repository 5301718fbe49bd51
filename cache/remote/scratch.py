"""Local folders in which files are written before they are uploaded. What a killed process left is found by its lock
and swept away."""

import fcntl
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from .errors import RemoteError
from .settings import mirror_folder


@dataclass(frozen=True, slots=True)
class Scratch:
    """A folder of this process alone. `lock` is the descriptor that says that the process still lives."""

    path: Path
    lock: int

    def close(self) -> None:
        """Remove what is left of it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.with_suffix(".lock").unlink(missing_ok=True)
        fcntl.flock(self.lock, fcntl.LOCK_UN)
        os.close(self.lock)


def new_scratch() -> Scratch:
    """A new, empty folder on the mirror's disk. Raises RemoteError when it cannot be made."""
    root = mirror_folder() / "scratch"
    try:
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
        path = root / uuid4().hex
        lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        fcntl.flock(lock, fcntl.LOCK_EX)
        path.mkdir()
    except OSError as error:
        raise RemoteError(
            f"{root} cannot be written ({error.strerror}); set TEACHERCACHE_MIRROR to a local folder that can"
        ) from error
    return Scratch(path, lock)


def _sweep(root: Path) -> None:
    """Remove the folders whose process is gone."""
    for path in root.glob("*.lock"):
        with suppress(OSError):
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                path.unlink()
            finally:
                os.close(lock)
