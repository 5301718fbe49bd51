"""Where each sample's fields lie inside a tar shard: the headers are read once, then any byte range is a `pread`.

Samples are grouped as webdataset groups them: the key is a member's path up to the first dot of its base name, the
field is the rest in lower case, and members of one sample stand side by side. It refuses compressed archives (they have
no random access), archives without their end marker (they were cut short), links, and names that leave the folder.
"""

import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .errors import DataError
from .names import is_text

_BLOCK = 512
_RECORD = 20 * _BLOCK
_KEY_FIELD = re.compile(r"((?:.*/|)[^./]+)[.]([^/]*)", re.DOTALL)
_METADATA = re.compile(r"__[^/]*__($|/)")
_COPY_AGAIN = "Copy or write the shard again"
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


@dataclass(frozen=True, slots=True)
class Extent:
    """A byte range of the shard's file."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class TarIndex:
    """The samples of one tar file: `fields[i]` says where each field of sample `ids[i]` lies."""

    ids: tuple[str, ...]
    fields: tuple[dict[str, Extent], ...]


def read_index(path: Path) -> TarIndex:
    """Reads all headers of a plain tar. Raises DataError, naming the file and what to do, when it cannot be trusted."""
    samples: dict[str, dict[str, Extent]] = {}
    try:
        with path.open("rb") as file:
            refuse_compressed(path, file.read(8))
            file.seek(0)
            _fill(samples, path, file)
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
        raise DataError(f"{path}: it is no complete tar file ({error}). {_COPY_AGAIN}") from error
    except OSError as error:
        raise DataError(f"{path}: it cannot be read ({error.strerror or error})") from error
    if not samples:
        raise DataError(f"{path}: it holds no sample, that is no file named <key>.<field>. Leave it out of source.path")
    return TarIndex(tuple(samples), tuple(samples.values()))


def refuse_compressed(path: Path, head: bytes) -> None:
    """Raises DataError when the file's first bytes are those of a compressed file."""
    for magic, name in _COMPRESSED.items():
        if head.startswith(magic):
            raise DataError(
                f"{path}: it is compressed with {name}, and samples are read at random, which only a plain .tar "
                "allows. Decompress it; images are compressed already, so it hardly grows"
            )


def _fill(samples: dict[str, dict[str, Extent]], path: Path, file: BinaryIO) -> None:
    current = None
    for name, extent in _members(path, file):
        match = _KEY_FIELD.fullmatch(name)
        if match is None or _METADATA.match(name):
            continue
        key, field = match[1], match[2].lower()
        if key != current and key in samples:
            raise DataError(
                f"{path}: two samples have the id {key!r}. Give each its own, and keep a sample's members side by side"
            )
        fields = samples.setdefault(key, {})
        if field in fields:
            raise DataError(f"{path}: sample {key!r} has two members {field!r}. Remove one of them")
        fields[field] = extent
        current = key


def _members(path: Path, file: BinaryIO) -> Iterator[tuple[str, Extent]]:
    """Names and extents of the regular files, after every check that a header allows."""
    end = os.fstat(file.fileno()).st_size
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for member in archive:
            _check_name(path, member.name)
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise DataError(
                    f"{path}: member {member.name!r} is a link, a device or a sparse file. "
                    "Write the shard with the files themselves (tar --hard-dereference --dereference)"
                )
            if member.size < 0 or member.offset_data + member.size > end:
                raise DataError(f"{path}: it ends inside member {member.name!r}. {_COPY_AGAIN}")
            yield member.name, Extent(member.offset_data, member.size)
        _check_end(path, file, archive.offset)


def _check_name(path: Path, name: str) -> None:
    if name.startswith("/") or ".." in name.split("/"):
        raise DataError(f"{path}: member {name!r} points out of the archive. Write the shard with relative names")
    if not is_text(name):
        raise DataError(f"{path}: member {name!r} has a name that is not plain UTF-8. Rename it")


def _check_end(path: Path, file: BinaryIO, offset: int) -> None:
    """The library stops at a damaged header as it stops at the end, without a word: look at what made it stop."""
    file.seek(offset)
    tail = file.read(_BLOCK + _RECORD)
    marker, rest = tail[:_BLOCK], tail[_BLOCK:]
    if len(marker) < _BLOCK:
        raise DataError(f"{path}: the end-of-archive marker is missing, so it was cut short. {_COPY_AGAIN}")
    if any(marker):
        raise DataError(f"{path}: the header at byte {offset} is damaged. {_COPY_AGAIN}")
    if any(rest):
        raise DataError(
            f"{path}: more data follows the end of the archive at byte {offset}, as when two archives were joined "
            "with `cat`. Unpack and write them again as one archive"
        )
