"""What is known of a tar shard before an image is read: its samples' ids, where their images lie, and their labels.

Labels are read at once, for they are a few bytes each. It refuses labels that are no class number.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from .errors import DataError
from .tar_index import Extent, TarIndex, read_index

_LABEL = re.compile(rb"\s*(-?[0-9]{1,18})\s*")
_LABEL_BYTES = 64


@dataclass(frozen=True, slots=True)
class Fields:
    """Which members of a sample are read: image extensions in order of preference (none: there are no images), the
    label's, if any, and those of other fields by name, each with its kind."""

    image: tuple[str, ...]
    label: str | None
    classes: int  # 0 when the classes were not named
    others: tuple[tuple[str, str, tuple[str, ...]], ...] = ()  # (name, kind, extensions)
    optional: frozenset[str] = frozenset()  # those of the others that a sample may lack

    @property
    def kinds(self) -> dict[str, str]:
        """Kind of each other field."""
        return {name: kind for name, kind, _ in self.others}


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What is known of a shard before an image is read: `extents[name]` int64 (n, 2), offset and size of a field of
    each sample ("image" is one; -1 where a sample lacks an optional one), and `labels` int64 (n,), -1 for none."""

    ids: tuple[str, ...]
    extents: Mapping[str, np.ndarray]
    labels: np.ndarray


@lru_cache(maxsize=8)
def catalogue(path: Path, fields: Fields, size: int, modified: int) -> Catalogue:
    """Size and time of modification are part of the key: a shard that was written anew is read anew."""
    index = read_index(path)
    wanted = {name: extensions for name, _, extensions in fields.others}
    if fields.image:
        wanted["image"] = fields.image
    extents = {
        name: _extents(path, index, name, extensions, name in fields.optional) for name, extensions in wanted.items()
    }
    labels = np.array(_labels(path, index, fields), dtype=np.int64)
    labels.setflags(write=False)
    return Catalogue(index.ids, extents, labels)


def _extents(path: Path, index: TarIndex, name: str, extensions: tuple[str, ...], optional: bool) -> np.ndarray:
    found = [_extent(path, index, sample, name, extensions, optional) for sample in range(len(index.ids))]
    return np.array([(extent.offset, extent.size) for extent in found], dtype=np.int64).reshape(len(found), 2)


def _extent(path: Path, index: TarIndex, sample: int, name: str, extensions: tuple[str, ...], optional: bool) -> Extent:
    held = index.fields[sample]
    for extension in extensions:
        if extension in held:
            return held[extension]
    if optional:
        return Extent(-1, -1)
    setting = "source.image" if name == "image" else f"source.fields.{name}.ext"
    raise DataError(
        f"{path}: sample {index.ids[sample]!r} has no {name}: {setting} is {', '.join(extensions)}, "
        f"and it holds {', '.join(sorted(held))}. Add the {name}'s extension to {setting}, or leave the sample out"
        f"{'' if name == 'image' else f', or set source.fields.{name}.optional where some samples lack it'}"
    )


def _labels(path: Path, index: TarIndex, fields: Fields) -> list[int]:
    if fields.label is None:
        return [-1] * len(index.ids)
    _check_label_field(path, index, fields, fields.label)
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return [
            _label(path, file, held[fields.label], sample, fields) if fields.label in held else -1
            for sample, held in zip(index.ids, index.fields, strict=True)
        ]
    finally:
        os.close(file)


def _check_label_field(path: Path, index: TarIndex, fields: Fields, label: str) -> None:
    """A shard of images alone is unlabelled; a shard with other fields and no label more likely has a misspelt one."""
    read = {extension for _, _, extensions in fields.others for extension in extensions}
    others = set().union(*index.fields).difference(fields.image, read)
    if others and label not in others:
        raise DataError(
            f"{path}: no sample has the field {label!r} that source.label names. There "
            f"are {', '.join(sorted(others))}. Name one, or set source.label to null when the samples have no labels"
        )


def _label(path: Path, file: int, extent: Extent, sample: str, fields: Fields) -> int:
    text = pread(path, file, Extent(extent.offset, min(extent.size, _LABEL_BYTES)), sample)
    match = _LABEL.fullmatch(text) if extent.size <= _LABEL_BYTES else None
    if match is None:
        raise DataError(
            f"{path}: the label of sample {sample!r} is {text[:20]!r} and no integer. "
            f"A member .{fields.label} holds a class number in ASCII digits; write it so, or set source.label"
        )
    label = int(match[1])
    if label < 0:
        raise DataError(
            f"{path}: the label of sample {sample!r} is {label}, and class numbers start at 0. "
            f"A sample without a label has no member .{fields.label}"
        )
    if fields.classes and label >= fields.classes:
        raise DataError(
            f"{path}: the label of sample {sample!r} is {label}, and source.classes names {fields.classes} classes, "
            f"0 to {fields.classes - 1}. Correct the label or the list"
        )
    return label


def pread(path: object, file: int, extent: Extent, sample: str) -> bytes:
    try:
        data = os.pread(file, extent.size, extent.offset)
        while 0 < len(data) < extent.size:  # the kernel gives at most 2 GiB at once, a network file system less
            more = os.pread(file, extent.size - len(data), extent.offset + len(data))
            if not more:
                break
            data += more
    except OSError as error:
        raise DataError(f"{path}: sample {sample!r} cannot be read ({error.strerror})") from error
    if len(data) != extent.size:
        raise DataError(f"{path}: sample {sample!r} ends too early: the file was cut while it was read. Copy it again")
    return data
