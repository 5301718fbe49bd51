"""Everything that is no object store of obstore's, through fsspec and the file systems that are installed for it."""

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .address import below, scheme_of
from .client import RemoteFile
from .errors import RemoteError, RemoteSizeError


class FsspecClient:
    """Files below an address, as a Client. Settings of a file system come from fsspec's own configuration."""

    def __init__(self, address: str) -> None:
        self.address = address
        try:
            import fsspec
        except ImportError as error:
            raise RemoteError(f"{address}: `pip install fsspec` brings what reads this address") from error
        try:
            self._system, root = fsspec.url_to_fs(address)
        except (ImportError, ValueError) as error:
            raise RemoteError(f"{address} cannot be opened: {error}") from error
        self._root = str(root).rstrip("/")

    def get(self, key: str) -> bytes:
        with self._errors(key, "read"):
            return bytes(self._system.cat_file(self._path(key)))

    def size(self, key: str) -> int:
        with self._errors(key, "read"):
            return int(self._system.info(self._path(key))["size"])

    def download(self, key: str, path: Path, size: int) -> None:
        with self._errors(key, "read"):
            self._system.get_file(self._path(key), str(path))
        if (found := os.path.getsize(path)) != size:
            raise RemoteSizeError(f"{below(self.address, key)} has {found} bytes where {size} are expected")

    def put(self, key: str, data: bytes) -> None:
        with self._errors(key, "written"):
            self._make_folder(key)
            self._system.pipe_file(self._path(key), data)

    def create(self, key: str, data: bytes) -> bool:
        with self._errors(key, "written"):
            self._make_folder(key)
            try:
                self._system.pipe_file(self._path(key), data, mode="create")
            except FileExistsError:
                return False
        return True

    def upload(self, key: str, path: Path) -> None:
        with self._errors(key, "written"):
            self._make_folder(key)
            self._system.put_file(str(path), self._path(key))

    def files(self, folder: str) -> Sequence[RemoteFile]:
        with self._errors(folder, "listed"):
            self._system.invalidate_cache()
            try:
                found = self._system.ls(self._path(folder), detail=True)
            except (FileNotFoundError, NotADirectoryError):
                return []
        return sorted((self._file(item) for item in found if item["type"] == "file"), key=lambda file: file.key)

    def tree(self, folder: str) -> Iterator[RemoteFile]:
        with self._errors(folder, "listed"):
            self._system.invalidate_cache()
            found = self._system.find(self._path(folder), detail=True)
        yield from (self._file(item) for item in found.values())

    def move(self, key: str, to: str) -> None:
        with self._errors(key, "moved"):
            self._make_folder(to)
            self._system.mv(self._path(key), self._path(to))

    def delete(self, keys: Iterable[str]) -> None:
        with self._errors("", "removed"):
            for key in keys:
                try:
                    self._system.rm_file(self._path(key))
                except FileNotFoundError:
                    continue

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}" if key else self._root

    def _make_folder(self, key: str) -> None:
        """Object stores know no folders; other systems want them first."""
        self._system.makedirs(self._path(key).rpartition("/")[0], exist_ok=True)

    def _file(self, item: dict[str, Any]) -> RemoteFile:
        path, size = str(item["name"]), int(item["size"] or 0)
        written = next((item[key] for key in ("mtime", "modified", "LastModified", "created") if item.get(key)), 0)
        seconds = written.timestamp() if hasattr(written, "timestamp") else float(written)
        version = next((str(item[key]) for key in ("ETag", "etag", "checksum") if item.get(key)), f"{seconds}-{size}")
        return RemoteFile(path.removeprefix(self._root).lstrip("/"), size, version, seconds)

    @contextmanager
    def _errors(self, key: str, done: str) -> Iterator[None]:
        """Turn the file system's errors, which are of any kind, into ours."""
        where = below(self.address, key)
        try:
            yield
        except (FileNotFoundError, IsADirectoryError):
            raise FileNotFoundError(errno.ENOENT, "there is no such file", where) from None
        except RemoteError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"[:300]
            raise RemoteError(f"{where} cannot be {done} through {scheme_of(self.address)} ({reason})") from error
