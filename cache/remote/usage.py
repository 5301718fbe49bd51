"""How much of the mirror is used, and what leaves when it is full: whole units, the longest unused first.

A *unit* is what leaves together: the first two names below a place (`shards/<attempt>`), or one file. All processes of
a machine share the account, a file of two numbers under a lock; a scan of the mirror puts it right again.
"""

import fcntl
import os
import shutil
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from .errors import RemoteError

PART = ".part"  # the end of the name of a file that is being downloaded
_NUMBERS = struct.Struct("<qq")  # bytes in use, or -1 when nobody knows; units that have left
_SLACK = 20  # a scan frees this part of the limit more than it must, so that the next one is not due at once


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """A file, made where it is missing, open for reading and writing, locked against every other process and thread."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough where a fork has the descriptor too
        os.close(file)


class RoomTaken(Exception):
    """All room is taken by files that others are downloading just now."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The account of the mirror at `root`, which holds at most `limit` bytes."""

    root: Path
    limit: int

    def reserve(self, count: int, keep: Path, claim: Callable[[], None]) -> None:
        """Count `count` bytes that are about to be written, making room first; the unit `keep` stays.

        `claim` makes them visible to the next scan: no other process scans before it is done. Raises RoomTaken when
        there will be room once other downloads are done, RemoteError when there can be none.
        """
        with locked(self._file) as file:
            used, departed = _read(file)
            if used < 0 or used + count > self.limit:
                used, gone = self._make_room(count, keep)
                departed += gone
                os.pwrite(file, _NUMBERS.pack(used, departed), 0)
            claim()
            os.pwrite(file, _NUMBERS.pack(used + count, departed), 0)

    def release(self, count: int) -> None:
        """Count back bytes that were not written after all."""
        with locked(self._file) as file:
            used, departed = _read(file)
            os.pwrite(file, _NUMBERS.pack(max(-1, used - count), departed), 0)

    def discard(self, unit: Path) -> None:
        """Remove a unit; what is not there is no error."""
        with locked(self._file) as file:
            used, departed = _read(file)
            count = _bytes(unit)
            _remove(self.root, unit)
            os.pwrite(file, _NUMBERS.pack(max(-1, used - count), departed + 1), 0)

    def departed(self) -> int:
        """How many units have left so far."""
        try:
            file = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return 0
        try:
            return _read(file)[1]
        finally:
            os.close(file)

    @property
    def _file(self) -> Path:
        return self.root / ".usage"

    def _make_room(self, count: int, keep: Path) -> tuple[int, int]:
        """Bytes that are in use once `count` more fit, and how many units had to go."""
        units = sorted((recency, path, size) for path, recency, size in _units(self.root))
        used, gone, busy = sum(size for _, _, size in units), 0, False
        for _, path, size in units:
            if used + count <= self.limit - (self.limit // _SLACK if gone else 0):
                break
            if path == keep or _in_progress(path):
                busy |= path != keep
                continue
            _remove(self.root, path)
            used, gone = used - size, gone + 1
        if used + count > self.limit and busy:
            raise RoomTaken
        if used + count > self.limit:
            raise RemoteError(
                f"the mirror {self.root} may hold {self.limit:,} bytes, and {used + count:,} are needed at once; "
                "set TEACHERCACHE_MIRROR_BYTES to more, and TEACHERCACHE_MIRROR to a disk that has it"
            )
        return used, gone


def unit_of(place: Path, name: str) -> Path:
    """The unit to which a file below a place belongs."""
    return place.joinpath(*name.split("/")[:2])


def touch(unit: Path) -> None:
    """Say that a unit was used just now."""
    with suppress(FileNotFoundError):
        os.utime(unit)


def _read(file: int) -> tuple[int, int]:
    data = os.pread(file, _NUMBERS.size, 0)
    used, departed = _NUMBERS.unpack(data) if len(data) == _NUMBERS.size else (-1, 0)
    return used, max(0, departed)


def _units(root: Path) -> Iterator[tuple[Path, int, int]]:
    """Every unit with when it was last used (ns) and its bytes."""
    for place in _folders(root):
        for first in _entries(place):
            for unit in _entries(Path(first.path)) if first.is_dir(follow_symlinks=False) else [first]:
                with suppress(FileNotFoundError):
                    yield Path(unit.path), unit.stat(follow_symlinks=False).st_mtime_ns, _bytes(Path(unit.path))


def _folders(root: Path) -> list[Path]:
    """Places of the mirror; what begins with a dot is the mirror's own."""
    return [Path(item.path) for item in _entries(root) if item.is_dir() and not item.name.startswith(".")]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _in_progress(unit: Path) -> bool:
    """Whether somebody is downloading a file of the unit: then it is locked."""
    for part in unit.rglob(f"*{PART}") if unit.is_dir() else [unit] * unit.name.endswith(PART):
        with suppress(FileNotFoundError):
            file = os.open(part, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            finally:
                os.close(file)
    return False


def _bytes(unit: Path) -> int:
    """Bytes of a file, or of all below a folder."""
    total = 0
    for path in [unit, *unit.rglob("*")]:
        with suppress(FileNotFoundError):
            facts = path.lstat()
            total += facts.st_size if stat.S_ISREG(facts.st_mode) else 0
    return total


def _remove(root: Path, unit: Path) -> None:
    """Whole or not at all: renamed first. Who has a file of it open, or mapped, keeps what is in it."""
    aside = root / f".gone-{uuid4().hex[:12]}"
    with suppress(FileNotFoundError):
        os.replace(unit, aside)
        if aside.is_dir():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.unlink()
