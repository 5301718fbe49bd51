"""Small files that are either there whole or not there: temporary file, fsync, link or rename, fsync of the folder.

No locks: a dead job can hold none. Two writers of one name are settled by who links first.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from ..errors import CacheWriteError

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again",
    errno.EDQUOT: "your disk quota is used up; free some space and run the same command again",
    errno.EFBIG: "the file is larger than this system allows (see `ulimit -f`)",
    errno.EACCES: "this user may not write there; choose another {setting} or change its permissions",
    errno.EPERM: "this user may not write there; choose another {setting} or change its permissions",
    errno.EROFS: "the file system is read-only; choose another {setting}",
    errno.ENOENT: "it, or its folder, was removed while it was written; run the same command again",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another {setting}",
}


def write_problem(error: OSError, path: Path, setting: str) -> str:
    """What went wrong with a write under `path`, and what to do; `setting` is where the configuration says where."""
    reason = _REASONS.get(error.errno or 0, error.strerror or str(error)).replace("{setting}", setting)
    return f"cannot write {error.filename or path}: {reason}"


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of a write under `path` into a CacheWriteError that says what to do."""
    try:
        yield
    except OSError as error:
        raise CacheWriteError(write_problem(error, path, "cache.path")) from error


def sync_path(path: Path) -> None:
    """Make the names in a folder (or the bytes of a file) survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Make a folder, and every file and folder below it, survive a power cut. Files first: they hold the bytes."""
    found = list(os.walk(folder, onerror=_refuse))
    for above, _, names in found:
        for name in names:
            sync_path(Path(above, name))
    for above, _, _ in found:
        sync_path(Path(above))


def _refuse(error: OSError) -> None:
    raise error


def replace_file(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all; an older file is replaced."""
    temporary = _write_temporary(path, data)
    with write_errors(path):
        os.replace(temporary, path)
        sync_path(path.parent)


def publish_file(path: Path, data: bytes) -> bool:
    """Write `data` to `path` unless something is there already; True when this call made it."""
    temporary = _write_temporary(path, data)
    try:
        with write_errors(path):
            os.link(temporary, path)
            sync_path(path.parent)
        return True
    except CacheWriteError as error:
        if isinstance(error.__cause__, FileExistsError):
            return False
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _write_temporary(path: Path, data: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:12]}.tmp")
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise
    return temporary
