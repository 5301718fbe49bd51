"""The seam to the libraries that reach remote files, and the choice between them.

Object stores go through obstore, which reads three times as fast as fsspec's clients and creates a file only where
there is none; every other scheme goes through fsspec. Both run threads of their own, which a forked process has none
of: there a courier, a process of its own, does the work.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .address import scheme_of
from .errors import RemoteError

OBJECT_SCHEMES = ("s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file below an address: its key below it, bytes, a word that changes when it is replaced, and Unix seconds."""

    key: str
    bytes: int
    version: str
    modified: float


class Client(Protocol):
    """Files below one address, by key. Safe in threads. Raises RemoteError for all that goes wrong but a file that is
    not there, which is FileNotFoundError."""

    def get(self, key: str) -> bytes:
        """A small file."""

    def size(self, key: str) -> int:
        """Bytes of a file."""

    def download(self, key: str, path: Path, size: int) -> None:
        """Write a file of `size` bytes over the local file `path`, which is there."""

    def put(self, key: str, data: bytes) -> None:
        """Write a small file; an older one is replaced."""

    def create(self, key: str, data: bytes) -> bool:
        """Write a small file unless there is one, if the store knows how; False when it said that there is one."""

    def upload(self, key: str, path: Path) -> None:
        """Write a local file; an older one is replaced."""

    def files(self, folder: str) -> Sequence[RemoteFile]:
        """What lies directly in a folder, in the order of the keys; none when there is no such folder."""

    def tree(self, folder: str) -> Iterator[RemoteFile]:
        """What lies below a folder, however deep."""

    def move(self, key: str, to: str) -> None:
        """Rename a file, replacing what is there."""

    def delete(self, keys: Iterable[str]) -> None:
        """Remove files; what is not there is no error."""


_process: list[int] = []  # the process in which a library was first used: its threads run nowhere else
_clients: dict[tuple[int, str], Client] = {}


def client_of(address: str) -> Client:
    """The client of an address, one in a process. Raises RemoteError when its library is missing."""
    key = (os.getpid(), address)
    if key not in _clients:
        _clients[key] = _new_client(address)
    return _clients[key]


def _new_client(address: str) -> Client:
    rest = address.partition("://")[2]
    if not rest.strip("/") or (rest.startswith("/") and scheme_of(address) in OBJECT_SCHEMES):
        raise RemoteError(f"{address!r} names no bucket; write an address such as s3://bucket/prefix")
    if not _process:
        _process.append(os.getpid())
    if _process[0] != os.getpid() and scheme_of(address) != "memory":
        from .courier import Courier

        return Courier(address)
    if scheme_of(address) in OBJECT_SCHEMES:
        from .object_client import ObjectClient

        return ObjectClient(address)
    from .fsspec_client import FsspecClient

    return FsspecClient(address)
