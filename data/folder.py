"""Samples in a folder of images: one sub-folder a class, or images alone and no labels.

A shard is `shard_size` consecutive images of the mixed listing; the sample's id is the path below the root. It refuses
to notice files that come later: the listing is made once, when the source is opened.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import xxhash

from .errors import DataError
from .fingerprint import JSON, listing_digest
from .folder_listing import ImageFile, list_images, mixed, number_classes
from .sample import Sample
from .source import read_all
from .spec import SourceSpec


@dataclass(frozen=True)
class FolderShard:
    """Some images of a folder. Nothing is kept open: each image is opened, read and closed."""

    name: str
    root: Path
    images: tuple[ImageFile, ...]

    @cached_property
    def ids(self) -> Sequence[str]:
        return tuple(image.id for image in self.images)

    @cached_property
    def labels(self) -> np.ndarray:
        labels = np.array([image.label for image in self.images], dtype=np.int64)
        labels.setflags(write=False)
        return labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        return self.part(index, ("image",))

    def part(self, index: int, fields: Collection[str]) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"shard {self.name!r} has {len(self)} samples and no sample {index}")
        image = self.images[index]
        data = self._bytes(image) if "image" in fields else b""
        return Sample(image.id, self.name, data, None if image.label < 0 else image.label)

    def checksum(self) -> str:
        digest = xxhash.xxh3_128()
        for image in self.images:
            digest.update(f"{image.id}\0{image.size}\n".encode())
            digest.update(self._bytes(image))
        return digest.hexdigest()

    def _bytes(self, image: ImageFile) -> bytes:
        file = self.root / image.id
        try:
            data = file.read_bytes()
        except OSError as error:
            raise DataError(
                f"{file}: sample {image.id!r} of shard {self.name!r} cannot be read ({error.strerror}). "
                "Leave the folder as it is while it is in use, and start again"
            ) from error
        if len(data) != image.size:
            raise DataError(
                f"{file}: sample {image.id!r} of shard {self.name!r} has {len(data)} bytes and had {image.size} when "
                "the folder was listed. Leave the folder as it is while it is in use, and start again"
            )
        return data


@dataclass(frozen=True)
class FolderSource:
    """A folder's images, cut into shards of `shard_size`; the last shard may be shorter."""

    root: Path
    images: tuple[ImageFile, ...]
    shard_size: int
    classes: tuple[str, ...]
    extensions: tuple[str, ...]

    @cached_property
    def fingerprint(self) -> Mapping[str, JSON]:
        return {
            "kind": "folder",
            "image": list(self.extensions),
            "label": "folder" if any(image.label >= 0 for image in self.images) else None,
            "shards": len(self.shards()),
            "bytes": sum(image.size for image in self.images),
            "listing": listing_digest((image.id, image.size, image.label) for image in self.images),
        }

    @property
    def kinds(self) -> Mapping[str, str]:
        return {"image": "image"}

    def shards(self) -> Sequence[str]:
        return tuple(f"part-{start // self.shard_size:05d}" for start in range(0, len(self.images), self.shard_size))

    def restricted(self, shards: Sequence[str]) -> "FolderSource":
        if set(shards) != set(self.shards()):
            raise DataError(
                "source: a folder's images are cut into shards in one mixed order, so with other images every shard is "
                "another one, and some of them are no source. Write them as tar shards (source.kind: webdataset) to "
                "add shards later"
            )
        return self

    def open(self, shard: str) -> FolderShard:
        names = self.shards()
        if shard not in names:
            raise DataError(f"the source has no shard {shard!r}; it has {len(names)}, {names[0]!r} to {names[-1]!r}")
        start = names.index(shard) * self.shard_size
        return FolderShard(shard, self.root, self.images[start : start + self.shard_size])

    def read(self, shard: str) -> Iterator[Sample]:
        return read_all(self.open(shard))


def folder_source(spec: SourceSpec) -> FolderSource:
    """Lists the folder. Raises DataError when it holds nothing to read, or classes that do not meet source.classes."""
    if not isinstance(spec.path, str):
        raise DataError("source.path: a folder source has one path and no list. Put the class folders under one root")
    if spec.fields or not spec.image:
        raise DataError(
            "source: a folder source holds images and nothing else. Write samples with texts, arrays or no image as "
            "tar shards (source.kind: webdataset)"
        )
    root = Path(spec.path).absolute()
    extensions = tuple(extension.lower().lstrip(".") for extension in spec.image)
    try:
        by_class = list_images(root, extensions)
    except OSError as error:
        raise DataError(
            f"source.path: {error.filename!r} cannot be listed ({error.strerror}). Repair or remove it"
        ) from error
    images, classes = _label(by_class, spec)
    return FolderSource(root, tuple(mixed(images)), spec.shard_size, classes, extensions)


def _label(by_class: Mapping[str, list[ImageFile]], spec: SourceSpec) -> tuple[list[ImageFile], tuple[str, ...]]:
    if spec.label is None or "" in by_class:
        return [image for images in by_class.values() for image in images], spec.classes
    numbers = number_classes(tuple(by_class), spec.classes)
    images = [dataclasses.replace(image, label=numbers[name]) for name, images in by_class.items() for image in images]
    return images, spec.classes or tuple(by_class)
