"""A cache in a folder of a file system, local or shared. What is staged already lies where it belongs."""

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from ..errors import DamagedCacheError
from .durable import publish_file, replace_file, sync_path, sync_tree, write_errors
from .regular import open_regular
from .store import Entry, StoredFile

_PIECE = 1 << 22


@dataclass(frozen=True, slots=True)
class FolderStore:
    """Files below `root`, as a Store."""

    root: Path

    @property
    def url(self) -> str:
        return str(self.root)

    def read(self, name: str) -> bytes:
        with open_regular(self.root / name) as file:
            return file.read()

    def entries(self, folder: str) -> Sequence[Entry]:
        try:
            with os.scandir(self.root / folder) as found:
                entries = [entry for item in found if (entry := _entry(item)) is not None]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise DamagedCacheError(f"{self.root / folder} cannot be listed ({error.strerror})") from error
        return sorted(entries, key=lambda entry: entry.name)

    def tree(self, folder: str) -> Iterator[StoredFile]:
        for above, folders, names in os.walk(self.root / folder):
            # an empty folder is a file of no bytes: a killed builder leaves some
            for path in [Path(above, name) for name in names] or ([] if folders else [Path(above)]):
                with suppress(FileNotFoundError):
                    facts = path.lstat()
                    size = facts.st_size if names else 0
                    # a file that was linked a moment ago is as old as its first name; its inode is not
                    touched = max(facts.st_mtime, facts.st_ctime)
                    yield StoredFile(path.relative_to(self.root).as_posix(), size, touched)

    def publish(self, name: str, data: bytes) -> bool:
        return publish_file(self.root / name, data)

    def replace(self, name: str, data: bytes) -> None:
        replace_file(self.root / name, data)

    def move(self, name: str, to: str) -> None:
        target = self.root / to
        with write_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.root / name, target)
            sync_path(target.parent)
            sync_path((self.root / name).parent)

    def local(self, name: str) -> Path:
        return self.root / name

    def open(self, name: str) -> BinaryIO:
        return open_regular(self.root / name)

    def fetch(self, names: Iterable[str]) -> None:
        pass

    def departures(self) -> int:
        return 0

    def pieces(self, name: str) -> Iterator[bytes]:
        with open_regular(self.root / name) as file:
            while piece := file.read(_PIECE):
                yield piece

    def stage(self, folder: str) -> Path:
        path = self.root / folder
        with write_errors(path):
            path.mkdir(parents=True)
        return path

    def commit(self, folder: str) -> None:
        path = self.root / folder
        with write_errors(path):
            sync_tree(path)
            sync_path(path.parent)

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            path = self.root / name
            if path.is_dir() and not path.is_symlink():
                _remove_folder(path)
            else:
                with suppress(OSError):
                    path.unlink(missing_ok=True)

    def below(self, name: str) -> "FolderStore":
        return FolderStore(self.root / name)


def _remove_folder(path: Path) -> None:
    """Remove a folder that somebody may still be writing: renamed first, so that it is there whole or not at all."""
    aside = path.with_name(f".{path.name}.{uuid4().hex[:12]}.tmp")
    with suppress(OSError):
        os.replace(path, aside)
        path = aside
    shutil.rmtree(path, ignore_errors=True)


def _entry(item: os.DirEntry[str]) -> Entry | None:
    """A file; None for a folder, and for a link to nothing. What cannot be looked at is listed, and fails when read."""
    try:
        if item.is_dir():
            return None
        facts = item.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        return Entry(item.name, 0, f"unreadable: {error.strerror}")
    return Entry(item.name, facts.st_size, f"{facts.st_mtime_ns}-{facts.st_ino}")
