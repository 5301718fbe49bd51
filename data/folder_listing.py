"""Which images a folder holds, and the class number of each.

It refuses a root that holds images beside class folders, and class folders without an image: either is far more often
a slip of the hand than meant.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import xxhash

from .errors import DataError
from .names import is_text


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One image: its path below the root with `/` between the parts (the sample's id), bytes, and class (-1: none)."""

    id: str
    size: int
    label: int


def list_images(root: Path, extensions: Collection[str]) -> dict[str, list[ImageFile]]:
    """The images by class folder, folders sorted; the one key "" when the images lie in the root itself.

    Hidden files and folders are left out, links are followed. `label` is -1 everywhere.
    Raises DataError when the root is no folder, holds no image, or mixes images and class folders.
    """
    if not root.is_dir():
        raise DataError(f"source.path: {str(root)!r} is no folder. Relative paths start at the working directory")
    folders = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))
    flat = list(_images(root, root, extensions, deep=False))
    by_class = {name: list(_images(root, root / name, extensions, deep=True)) for name in folders}
    _check(root, flat, by_class, ", ".join(extensions))
    return {"": flat} if flat else by_class


def _check(root: Path, flat: list[ImageFile], by_class: dict[str, list[ImageFile]], wanted: str) -> None:
    if not flat and not any(by_class.values()):
        raise DataError(f"source.path: {str(root)!r} holds no image ({wanted}). Check the path, or set source.image")
    if flat and any(by_class.values()):
        raise DataError(
            f"source.path: {str(root)!r} holds images itself ({flat[0].id!r}) and in folders "
            f"({next(iter(by_class))!r}). Move them all into class folders, or all into the root"
        )
    empty = [name for name, images in by_class.items() if not images]
    if empty and not flat:
        raise DataError(
            f"source.path: class folder {str(root / empty[0])!r} holds no image ({wanted}). Fill it, or remove it"
        )


def number_classes(folders: Sequence[str], classes: Sequence[str]) -> dict[str, int]:
    """The class number of each folder: its place in `classes` when the folders go by those names, else in the sorting.

    So a held-out folder that lacks a class keeps the numbers of the training folder, once source.classes lists them.
    Raises DataError when `classes` names some of the folders but not all, or another number of them.
    """
    known = [name for name in folders if name in classes]
    if known and len(known) == len(folders):
        return {name: classes.index(name) for name in folders}
    if known or (classes and len(classes) != len(folders)):
        odd = next(name for name in folders if name not in classes)
        raise DataError(
            f"source.classes has {len(classes)} names, the source {len(folders)} class folders, and {odd!r} is not "
            "listed. List the folders' names, or one display name for each folder in sorted order"
        )
    return {name: number for number, name in enumerate(folders)}


def mixed(images: Sequence[ImageFile]) -> list[ImageFile]:
    """The images in the order of their ids' hashes: the same everywhere, with the classes mixed.

    In the order of the paths a shard would hold one class, and so would the batches that are drawn from few shards.
    """
    return sorted(images, key=lambda image: (xxhash.xxh3_64_intdigest(image.id.encode()), image.id))


def _images(root: Path, folder: Path, extensions: Collection[str], deep: bool) -> Iterator[ImageFile]:
    for parent, names in _walk(folder, deep):
        for name in sorted(names):
            if name.startswith(".") or Path(name).suffix.lower().lstrip(".") not in extensions:
                continue
            file = Path(parent, name)
            identity = file.relative_to(root).as_posix()
            if not is_text(identity):
                raise DataError(f"source.path: the file name {identity!r} is not plain UTF-8. Rename it")
            yield ImageFile(identity, file.stat().st_size, -1)


def _walk(folder: Path, deep: bool) -> Iterator[tuple[str, list[str]]]:
    """os.walk with links followed, without going round in circles."""
    seen: set[str] = set()
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=_raise):
        real = os.path.realpath(parent)
        folders[:] = sorted(name for name in folders if deep and not name.startswith("."))
        if real in seen:
            folders[:] = []
            continue
        seen.add(real)
        yield parent, names


def _raise(error: OSError) -> None:
    """os.walk leaves out a folder that it may not read, without a word, unless it is told otherwise."""
    raise error
