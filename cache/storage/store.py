"""Where a cache lies: a folder, or a prefix of an object store. The only way in which the cache touches files.

Names are relative to the store, with forward slashes. Whole shards are read through `local`, because what is mapped
must be a file; an object store keeps a bounded local copy for that.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a store: its name below the store, its bytes, and a word that changes whenever the file is replaced."""

    name: str
    bytes: int
    version: str


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file below a folder of a store: its name below the store, bytes, and when it was touched (Unix seconds)."""

    name: str
    bytes: int
    modified: float


class Store(Protocol):
    """Files by name. Everything that writes raises CacheWriteError with what to do about it."""

    @property
    def url(self) -> str:
        """The path or address, for messages and for opening the store again."""

    def read(self, name: str) -> bytes:
        """The bytes of a small file. FileNotFoundError when there is none."""

    def entries(self, folder: str) -> Sequence[Entry]:
        """The files that lie directly in a folder, by name; none when the folder is missing."""

    def tree(self, folder: str) -> Iterator[StoredFile]:
        """Every file below a folder, however deep, in no order; "" is the whole store. An empty folder, where there
        are such, counts as a file without bytes. For `gc`, not for reading."""

    def publish(self, name: str, data: bytes) -> bool:
        """Write a small file unless the name is taken; True when this call made it. Durable when it returns."""

    def replace(self, name: str, data: bytes) -> None:
        """Write a small file, whole or not at all; an older one is replaced."""

    def move(self, name: str, to: str) -> None:
        """Rename a file, replacing what has the new name."""

    def local(self, name: str) -> Path:
        """A local file with the bytes of `name`. It need not exist: opening it says so (FileNotFoundError)."""

    def open(self, name: str) -> BinaryIO:
        """The same, open for reading: it stays readable even when an object store makes room for another file.

        Raises FileNotFoundError when there is none."""

    def fetch(self, names: Iterable[str]) -> None:
        """Begin to bring files near, without waiting: `local` and `open` will find them. Nothing to do in a folder."""

    def departures(self) -> int:
        """Grows whenever local copies were removed to make room: whoever maps some lets go of them, so that the disk
        gets its space back. Always 0 in a folder."""

    def pieces(self, name: str) -> Iterator[bytes]:
        """The bytes of a file as they lie in the store itself, never a local copy's: for `verify`.

        Raises FileNotFoundError when there is none."""

    def stage(self, folder: str) -> Path:
        """A new, empty local folder in which the files of `folder` are written. The name must be new."""

    def commit(self, folder: str) -> None:
        """Make everything that was staged under `folder` durable under its own names."""

    def remove(self, names: Iterable[str]) -> None:
        """Remove files or whole folders, staged or committed; what is not there is no error."""

    def below(self, name: str) -> "Store":
        """The store of a folder of this one."""
