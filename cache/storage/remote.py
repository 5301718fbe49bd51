"""A cache in an object store: documents are objects, shards are read through the local mirror and written in scratch.

Nothing there can be appended to or renamed cheaply, and nothing needs to be: files of a shard are uploaded whole, under
names of their own, and the receipt comes last.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO
from uuid import uuid4

import xxhash

from ..errors import CacheError, CacheUnreachableError, CacheWriteError, DamagedCacheError
from ..lazy import lazy_property
from ..remote.address import below
from ..remote.ahead import Ahead
from ..remote.client import Client, client_of
from ..remote.errors import RemoteError, RemoteSizeError
from ..remote.mirror import Mirror, local_mirror, place_of
from ..remote.scratch import Scratch, new_scratch
from .store import Entry, StoredFile

Records = Mapping[str, Mapping[str, Any]]  # {"bytes", "xxh3"} by name below the store

_UPLOADS = 4  # files at once
_REMEMBERED = 64  # shards whose records are kept
_PIECE = 1 << 22


class RemoteStore:
    """Files below an address such as s3://bucket/prefix, as a Store. Safe in threads and after a fork."""

    def __init__(self, url: str, records: Callable[["RemoteStore", str], Records | None]) -> None:
        """`records(store, name)` is what is known of a file and of those that came with it, so that what is downloaded
        can be held against it."""
        self._url, self._find = url.rstrip("/"), records
        self._scratch: dict[str, Scratch] = {}
        self._records: OrderedDict[str, Records] = OrderedDict()
        self._ahead, self._lock = Ahead(self._bring), Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteStore, (self._url, self._find)

    @property
    def url(self) -> str:
        return self._url

    def read(self, name: str) -> bytes:
        with self._reading():
            return self._client.get(name)

    def entries(self, folder: str) -> Sequence[Entry]:
        with self._reading():
            found = self._client.files(folder)
        return [Entry(file.key.rpartition("/")[2], file.bytes, file.version) for file in found]

    def tree(self, folder: str) -> Iterator[StoredFile]:
        with self._reading():
            yield from (StoredFile(file.key, file.bytes, file.modified) for file in self._client.tree(folder))

    def publish(self, name: str, data: bytes) -> bool:
        with self._writing(name):
            if not self._creates:
                return self._put_and_look(name, data)
            # The store may have taken it, lost the answer, and been asked again: then what stands is ours.
            return self._client.create(name, data) or self._client.get(name) == data

    def replace(self, name: str, data: bytes) -> None:
        with self._writing(name):
            self._client.put(name, data)

    def move(self, name: str, to: str) -> None:
        with self._writing(to):
            self._client.move(name, to)

    def local(self, name: str) -> Path:
        with self._reading():
            return self._mirror.file(self._place, name, lambda: self._size(name), self._loading(name))

    def open(self, name: str) -> BinaryIO:
        with self._reading():
            return self._mirror.open(self._place, name, lambda: self._size(name), self._loading(name))

    def _bring(self, name: str) -> None:
        with suppress(CacheError):  # said when the file is read
            self.local(name)

    def fetch(self, names: Iterable[str]) -> None:
        self._ahead.ask(names)

    def departures(self) -> int:
        return self._mirror.usage.departed()

    def pieces(self, name: str) -> Iterator[bytes]:
        scratch = self._new_scratch(name)
        try:
            path = scratch.path / "file"
            with self._reading():
                path.touch()
                self._client.download(name, path, self._client.size(name))
            with path.open("rb") as file:
                while piece := file.read(_PIECE):
                    yield piece
        finally:
            scratch.close()

    def stage(self, folder: str) -> Path:
        self._scratch[folder] = self._new_scratch(folder)
        return self._scratch[folder].path

    def commit(self, folder: str) -> None:
        """Upload; on the way out the files become the mirror's copies, for who builds here mostly reads here."""
        scratch = self._scratch[folder].path
        paths = [path for path in scratch.rglob("*") if path.is_file()]
        with self._writing(folder), ThreadPoolExecutor(_UPLOADS) as threads:
            list(threads.map(lambda path: self._client.upload(f"{folder}/{_name(path, scratch)}", path), paths))
        self._mirror.adopt(self._place, folder, scratch)
        self._scratch.pop(folder).close()

    def remove(self, names: Iterable[str]) -> None:
        """What was staged and not committed is here alone. What the store cannot remove stays, for `gc`."""
        for name in names:
            if name in self._scratch:
                self._scratch.pop(name).close()
                continue
            with suppress(RemoteError, FileNotFoundError):
                self._client.delete([file.key for file in self._client.tree(name)] or [name])
                self._mirror.forget(self._place, name)

    def below(self, name: str) -> "RemoteStore":
        return RemoteStore(below(self._url, name), self._find)

    @property
    def _client(self) -> Client:
        return client_of(self._url)

    @lazy_property
    def _mirror(self) -> Mirror:
        return local_mirror()

    @lazy_property
    def _place(self) -> str:
        return place_of(self._url)

    @lazy_property
    def _creates(self) -> bool:
        """Whether the store creates an object only where there is none. Some say so and overwrite: it is tried out."""
        probe = f".probe-{uuid4().hex}.tmp"
        try:
            return self._client.create(probe, b"first") and not self._client.create(probe, b"second")
        finally:
            with suppress(RemoteError):
                self._client.delete([probe])

    def _put_and_look(self, name: str, data: bytes) -> bool:
        """Without conditional creation: whoever reads back what it wrote has won. Two that write in the same moment may
        both believe so; one object stands all the same, whole, and the other's files are rubbish."""
        with suppress(FileNotFoundError):
            return self._client.get(name) == data
        self._client.put(name, data)
        return self._client.get(name) == data

    def _size(self, name: str) -> int:
        record = self._record(name)
        return self._client.size(name) if record is None else int(record["bytes"])

    def _loading(self, name: str) -> Callable[[Path, int], None]:
        """Download, and hold the bytes against the receipt's hash."""

        def load(path: Path, size: int) -> None:
            try:
                self._client.download(name, path, size)
            except RemoteSizeError as error:
                raise DamagedCacheError(str(error)) from error
            record = self._record(name)
            if record is not None and _hash_file(path) != record["xxh3"]:
                raise DamagedCacheError(f"{self._url}/{name} was changed after it was written (its xxh3 differs)")

        return load

    def _record(self, name: str) -> Mapping[str, Any] | None:
        key = "/".join(name.split("/")[:2])
        found = self._records.get(key)
        if found is None:
            found = self._find(self, name) or {}
            with self._lock:
                self._records[key] = found
                while len(self._records) > _REMEMBERED:
                    self._records.popitem(last=False)
        return found.get(name)

    def _new_scratch(self, name: str) -> Scratch:
        with self._writing(name):
            return new_scratch()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except RemoteError as error:
            raise CacheUnreachableError(str(error)) from error

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        try:
            yield
        except RemoteError as error:
            raise CacheWriteError(str(error)) from error
        except OSError as error:
            raise CacheWriteError(f"{self._url}/{name} cannot be written ({error.strerror or error})") from error


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _hash_file(path: Path) -> str:
    state = xxhash.xxh3_128()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            state.update(piece)
    return state.hexdigest()
