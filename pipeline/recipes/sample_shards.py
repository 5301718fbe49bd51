"""Shards of sample data: plain tar files that are the same, byte for byte, at each run, and reading them back.

It refuses an empty shard, and to read what is not there.
"""

import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import webdataset
from PIL import Image


def write_shards(folder: Path, split: str, samples: Sequence[Mapping[str, Any]], shards: int) -> int:
    """Deals samples, {"__key__": key, extension: bytes}, over `<split>-0000.tar` and so on; returns all bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob(f"{split}-*.tar"):
        stale.unlink()
    return sum(_write(folder / f"{split}-{number:04d}.tar", samples[number::shards]) for number in range(shards))


def read_samples(folder: Path, split: str) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Each sample of `<split>-*.tar`, shard by shard: key, {extension: bytes}. Exits when there is no shard."""
    paths = sorted(folder.glob(f"{split}-*.tar"))
    if not paths:
        raise SystemExit(f"{folder} holds no {split}-*.tar: run make_samples first.")
    for path in paths:
        yield from _grouped(_members(path))


def lossless(pixels: np.ndarray) -> bytes:
    """uint8 (height, width, 3) as lossless WebP, which is a fifth smaller than PNG here."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "WEBP", lossless=True, quality=75, method=4)
    return out.getvalue()


def decoded(data: bytes) -> np.ndarray:
    """The pixels of an image file: uint8 (height, width, 3)."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def npy(array: np.ndarray) -> bytes:
    """An array as the bytes of a .npy file."""
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()


def _write(path: Path, samples: Sequence[Mapping[str, Any]]) -> int:
    if not samples:
        raise SystemExit(f"{path} would be empty: make more samples, or fewer shards.")
    with path.open("wb") as file, webdataset.TarWriter(file, user="root", group="root", mtime=0, encoder=False) as tar:
        for sample in samples:
            tar.write(dict(sample))
    return path.stat().st_size


def _members(path: Path) -> Iterator[tuple[str, str, bytes]]:
    with tarfile.open(path) as tar:
        for member in tar:
            key, _, extension = member.name.partition(".")
            data = tar.extractfile(member)
            if data is not None:
                yield key, extension, data.read()


def _grouped(members: Iterable[tuple[str, str, bytes]]) -> Iterator[tuple[str, dict[str, bytes]]]:
    found: dict[str, dict[str, bytes]] = {}
    for key, extension, data in members:
        found.setdefault(key, {})[extension] = data
    yield from found.items()
