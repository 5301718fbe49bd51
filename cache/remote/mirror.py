"""Local copies of remote files, whole and bounded: what is mapped must be a file, and what was read once stays near.

A copy is made under another name and renamed, so that it is there whole or not at all. Processes and threads that want
the same file wait for one download. Files keep their names below a *place*, so that a Zarr tree stays a tree.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import BinaryIO

import xxhash

from .errors import RemoteError
from .settings import mirror_bytes, mirror_folder
from .usage import PART, RoomTaken, Usage, locked, touch, unit_of

Load = Callable[[Path, int], None]  # writes a remote file of so many bytes over the local file, which is there

_TRIES = 1000
_PAUSE = 0.05  # seconds until there may be room: a minute in all
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Mirror:
    """The copies below `root`, at most `limit` bytes of them. Any number of processes share one."""

    root: Path
    limit: int

    @property
    def usage(self) -> Usage:
        """The account of its bytes."""
        return Usage(self.root, self.limit)

    def file(self, place: str, name: str, size: Callable[[], int], load: Load) -> Path:
        """The copy of `name`, made by `load` when it is not there.

        Raises what `size` and `load` raise, and RemoteError when the disk refuses or the mirror is too small.
        """
        folder = self.root / place
        path, unit = folder / name, unit_of(folder, name)
        for _ in range(_TRIES):
            if path.is_file():
                touch(unit)
                return path
            try:
                self._bring(path, unit, size, load)
            except _Gone:
                continue
            except RoomTaken:
                sleep(_PAUSE)
        raise self._too_small(path)

    def open(self, place: str, name: str, size: Callable[[], int], load: Load) -> BinaryIO:
        """The same, open for reading: nobody takes it away any more."""
        for _ in range(_TRIES):
            path = self.file(place, name, size, load)
            with suppress(FileNotFoundError):
                return path.open("rb")
        raise self._too_small(self.root / place / name)

    def adopt(self, place: str, name: str, folder: Path) -> bool:
        """Move a whole local folder of this disk into the mirror as the unit `name`; False when that cannot be."""
        unit = self.root / place / name
        count = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        with suppress(RemoteError, RoomTaken, OSError):
            unit.parent.mkdir(parents=True, exist_ok=True)
            self.usage.reserve(count, unit, lambda: os.replace(folder, unit))
            touch(unit)
            return True
        return False

    def forget(self, place: str, name: str) -> None:
        """Remove the copies of a unit that is of no use any more; what is not there is no error."""
        self.usage.discard(unit_of(self.root / place, name))

    def _bring(self, path: Path, unit: Path, size: Callable[[], int], load: Load) -> None:
        """Download under a lock. Raises _Gone when it is worth another look."""
        part = path.with_name(f".{path.name}{PART}")
        with self._disk_errors():
            part.parent.mkdir(parents=True, exist_ok=True)
            with locked(part) as file:
                if not _is(part, file):
                    raise _Gone  # what was locked has been renamed, or removed
                if path.exists():
                    part.unlink()
                    raise _Gone
                self._fill(part, file, unit, size, load)
                os.replace(part, path)

    def _fill(self, part: Path, file: int, unit: Path, size: Callable[[], int], load: Load) -> None:
        count = 0
        try:
            with _missing():
                wanted = size()
            os.ftruncate(file, 0)  # what a killed download left is not counted twice
            self.usage.reserve(wanted, unit, lambda: os.ftruncate(file, wanted))
            count = wanted
            touch(unit)
            with _missing():
                load(part, count)
        except BaseException as error:
            if isinstance(error, Exception) and not _is(part, file):
                raise _Gone from error  # the whole unit was removed, and what was counted with it
            self.usage.release(count)
            part.unlink(missing_ok=True)
            raise

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except _Missing as error:
            raise error.error from None
        except FileNotFoundError:
            raise _Gone from None
        except OSError as error:
            raise RemoteError(
                f"the mirror {self.root} cannot be written ({error.strerror or error}); set TEACHERCACHE_MIRROR to a "
                "local folder that can be, or TEACHERCACHE_MIRROR_BYTES to less"
            ) from error

    def _too_small(self, path: Path) -> RemoteError:
        return RemoteError(
            f"{path} is removed as fast as it is made: the mirror, {self.limit:,} bytes, is too small for all who use "
            "it; set TEACHERCACHE_MIRROR_BYTES to more"
        )


class _Gone(Exception):
    """Somebody made room, or another download failed, while we were at it: try again."""


class _Missing(Exception):
    """There is no such remote file; not to be mistaken for a local one."""

    def __init__(self, error: FileNotFoundError) -> None:
        self.error = error


@contextmanager
def _missing() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise _Missing(error) from None


def _is(path: Path, file: int) -> bool:
    """Whether the open file still has this name."""
    try:
        return path.stat().st_ino == os.fstat(file).st_ino
    except FileNotFoundError:
        return False


def local_mirror() -> Mirror:
    """The mirror of this machine, as its environment says. Raises RemoteError when it cannot be."""
    root = mirror_folder() / "mirror"
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RemoteError(
            f"the mirror {root} cannot be made ({error.strerror}); set TEACHERCACHE_MIRROR to a local folder"
        ) from error
    return Mirror(root, mirror_bytes())


def place_of(address: str) -> str:
    """The folder of the mirror in which the files below an address have their copies."""
    words = _UNSAFE.sub("-", address.partition("://")[2])[-80:].strip(".-")
    return f"{words}-{xxhash.xxh3_64_hexdigest(address.encode())}"
