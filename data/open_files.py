"""Shards that are open for reading: a bounded number of descriptors, however many shards a run has.

What has left the mirror is not held open for long either, so that its disk space comes back.
"""

import os
import weakref
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

from .errors import DataError
from .remote_file import RemoteFile

TarFile = Path | RemoteFile

_MOST = 32


class OpenFile:
    """A descriptor, which is closed when nobody uses it any more. Files of one `identity` have the same bytes."""

    def __init__(self, origin: TarFile) -> None:
        """Raises DataError when the file cannot be opened."""
        try:
            with origin.open("rb", buffering=0) if isinstance(origin, Path) else origin.open() as file:
                self.number, self.path = os.dup(file.fileno()), Path(file.name)
        except OSError as error:
            raise DataError(f"{origin}: it cannot be opened ({error.strerror})") from error
        weakref.finalize(self, os.close, self.number)
        facts = os.fstat(self.number)
        # a copy in the mirror is named by its version, and its times say when it was used
        times = (facts.st_mtime_ns, facts.st_ino) if isinstance(origin, Path) else (0, 0)
        self.identity = (facts.st_size, *times)


_open: OrderedDict[tuple[TarFile, tuple[int, int, int]], OpenFile] = OrderedDict()  # by what is in it; oldest first


def open_anew(origin: TarFile) -> OpenFile:
    """The file as it is now. Raises DataError when it cannot be opened."""
    return _remember(origin, OpenFile(origin))


def open_again(origin: TarFile, identity: tuple[int, int, int]) -> OpenFile:
    """The file as it was when it was opened anew. Raises DataError when another one has taken its place.

    No lock: each step on the table is one operation of the interpreter, and a fork copies it whole.
    """
    found = _open.get((origin, identity))
    if found is not None and (isinstance(origin, Path) or found.path.exists()):
        with suppress(KeyError):
            _open.move_to_end((origin, identity))
        return found
    opened = _remember(origin, OpenFile(origin))
    if opened.identity != identity:
        raise DataError(f"{origin}: it was replaced while it was in use. Leave the shards as they are, and start again")
    return opened


def close(origin: TarFile, identity: tuple[int, int, int]) -> None:
    """Hold a file open no longer; who reads it again opens it again."""
    _open.pop((origin, identity), None)


def _remember(origin: TarFile, opened: OpenFile) -> OpenFile:
    _open[origin, opened.identity] = opened
    while len(_open) > _MOST:
        with suppress(KeyError):
            _open.popitem(last=False)
    return opened
