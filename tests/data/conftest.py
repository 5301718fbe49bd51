"""Small images and tar shards, written as a user's tools would write them."""

import io
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Encode = Callable[..., bytes]
WriteTar = Callable[..., Path]


@pytest.fixture(scope="session")
def pattern() -> Callable[..., np.ndarray]:
    """A uint8 (height, width, channels) image that looks different from every side, by integer arithmetic alone."""

    def make(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
        rows, columns, planes = np.ogrid[:height, :width, :channels]
        return ((rows * 37 + columns * 11 + planes * 53 + rows * columns * (seed + 3)) % 256).astype(np.uint8)

    return make


@pytest.fixture(scope="session")
def encode() -> Encode:
    """Encodes an array, or a Pillow image, as the bytes of an image file."""

    def encode(image: np.ndarray | Image.Image, fmt: str = "PNG", **options: object) -> bytes:
        if isinstance(image, np.ndarray):
            image = Image.fromarray(image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image)
        buffer = io.BytesIO()
        image.save(buffer, fmt, **options)
        return buffer.getvalue()

    return encode


@pytest.fixture(scope="session")
def write_tar() -> WriteTar:
    """Writes (member name, bytes) pairs as a tar file."""

    def write(path: Path, members: Iterable[tuple[str, bytes]], mode: str = "w") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, mode) as archive:
            for name, data in members:
                header = tarfile.TarInfo(name)
                header.size = len(data)
                archive.addfile(header, io.BytesIO(data))
        return path

    return write


@pytest.fixture
def shard(tmp_path: Path, write_tar: WriteTar, encode: Encode, pattern: Callable[..., np.ndarray]) -> Path:
    """train-0000.tar: samples 0000 to 0009 of 8 x 8 grey pixels, labelled 0 to 9."""
    members = []
    for number in range(10):
        members.append((f"{number:04d}.png", encode(pattern(8, 8, 1, seed=number))))
        members.append((f"{number:04d}.cls", str(number).encode()))
    return write_tar(tmp_path / "shards" / "train-0000.tar", members)
