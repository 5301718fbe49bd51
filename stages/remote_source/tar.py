"""A tar shard in an object store: what it is known by, and its copy in the local mirror, from which it is read."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import xxhash

from ...cache.remote.errors import RemoteError
from ...data import DataError


@dataclass(frozen=True, slots=True)
class RemoteTar:
    """A file `name` below the address `folder`. `version` changes when it is replaced, and so does its local copy."""

    folder: str
    name: str
    bytes: int
    version: str

    def __str__(self) -> str:
        return f"{self.folder}/{self.name}"

    def open(self) -> BinaryIO:
        """The local copy, downloaded when it is not there. Raises DataError when it cannot be had."""
        from ...cache.remote.mirror import local_mirror, place_of

        copy = f"{xxhash.xxh3_64_hexdigest(self.version.encode())}/{self.name.rpartition('/')[2]}"
        with self._errors():
            return local_mirror().open(place_of(str(self)), copy, lambda: self.bytes, self._load)

    def _load(self, path: Path, size: int) -> None:
        from ...cache.remote.client import client_of

        client_of(self.folder).download(self.name, path, size)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except RemoteError as error:
            raise DataError(f"source.path: {error}") from error
        except FileNotFoundError:
            raise DataError(
                f"source.path: {self} is not there any more; leave the shards as they are while they are in use"
            ) from None
