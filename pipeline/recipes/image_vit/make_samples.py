"""Makes the sample shards of `data/samples/fashion-mnist` from Debian's package `dataset-fashion-mnist`.

    python -m teachercache.pipeline.recipes.image_vit.make_samples [--package DIR] [--output DIR]

The same bytes at each run. Training shards hold images of the package's training split alone, test shards images of its
t10k split alone, and an image that stands in both is left out. It downloads nothing and writes no card.
"""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
import webdataset
from PIL import Image

PACKAGE = Path("/usr/share/datasets/fashion-mnist")
SAMPLES = Path("data/samples/fashion-mnist")
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_TRAIN, _TRAIN_SHARDS = 3360, 7
_LABELLED = 100  # training images of a class that keep their label
_TEST, _TEST_SHARDS = 135, 2  # test images of a class
_SEED = 0


def read_split(package: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The images, uint8 (n, 28, 28), and the labels, int64 (n,), of the package's split `train` or `t10k`.

    Exits with how to install the package when a file of it is missing.
    """
    images = _idx(package / f"{split}-images-idx3-ubyte.gz", header=16).reshape(-1, 28, 28)
    return images, _idx(package / f"{split}-labels-idx1-ubyte.gz", header=8).astype(np.int64)


def _idx(path: Path, header: int) -> np.ndarray:
    if not path.is_file():
        raise SystemExit(
            f"{path} is missing. Install the Debian package (sudo apt-get install dataset-fashion-mnist), or name the "
            "folder that holds the four idx files of https://github.com/zalandoresearch/fashion-mnist with --package."
        )
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)


def read_shards(folder: Path, split: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Every sample of `<split>-*.tar` in order: keys, images uint8 (n, 28, 28), labels int64 (n,), -1 for none."""
    images: dict[str, np.ndarray] = {}
    labels: dict[str, int] = {}
    for name, data in _members(folder, split):
        key, extension = name.rsplit(".", 1)
        if extension == "cls":
            labels[key] = int(data)
        elif key in images:
            raise SystemExit(f"{folder} holds two samples with the key {key}: run make_samples again.")
        else:
            images[key] = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    return list(images), np.stack(list(images.values())), np.array([labels.get(key, -1) for key in images])


def _members(folder: Path, split: str) -> Iterator[tuple[str, bytes]]:
    shards = sorted(folder.glob(f"{split}-*.tar"))
    if not shards:
        raise SystemExit(f"{folder} holds no {split}-*.tar: run make_samples first.")
    for shard in shards:
        with tarfile.open(shard) as tar:
            for member in tar:
                data = tar.extractfile(member)
                if data is not None:
                    yield member.name, data.read()


def in_both(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which of the images (n, 28, 28) also stand, byte for byte, among the others (m, 28, 28): bool (n,)."""
    known = {image.tobytes() for image in others}
    return np.array([image.tobytes() in known for image in images])


def _order(rows: np.ndarray, purpose: str) -> np.ndarray:
    """The rows in random order: by a hash, since the streams of numpy's generators may change with its version."""
    return np.array(sorted(rows, key=lambda row: hashlib.sha256(f"{_SEED}/{purpose}/{row}".encode()).digest()))


def _of_each_class(rows: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """The first `count` rows of each class."""
    return np.concatenate([rows[labels[rows] == number][:count] for number in range(len(CLASSES))])


def _deal(groups: list[np.ndarray], shards: int, purpose: str) -> list[np.ndarray]:
    """Spreads each group evenly over the shards; each shard in random order."""
    return [_order(np.concatenate([rows[shard::shards] for rows in groups]), purpose) for shard in range(shards)]


def _encode(image: np.ndarray) -> bytes:
    # Lossless WebP: 12 % smaller than optimised PNG, and three images in four fit one 512-byte block of the tar.
    out = io.BytesIO()
    Image.fromarray(image).save(out, "WEBP", lossless=True, quality=100, method=6)
    return out.getvalue()


def _write(path: Path, split: str, rows: np.ndarray, images: np.ndarray, labels: dict[int, int]) -> None:
    with path.open("wb") as file, webdataset.TarWriter(file, user="root", group="root", mtime=0, encoder=False) as tar:
        for row in rows.tolist():
            sample = {"__key__": f"{split}-{row:05d}", "webp": _encode(images[row])}
            if row in labels:
                sample["cls"] = str(labels[row]).encode()
            tar.write(sample)


def make_samples(
    package: Annotated[Path, typer.Option(help="folder of the idx files")] = PACKAGE,
    output: Annotated[Path, typer.Option(help="folder of the shards")] = SAMPLES,
) -> None:
    """Writes train-*.tar and test-*.tar."""
    (train, train_labels), (test, test_labels) = read_split(package, "train"), read_split(package, "t10k")
    pool = _order(np.flatnonzero(~in_both(train, test)), "train")
    labelled = _of_each_class(pool, train_labels, _LABELLED)
    unlabelled = pool[~np.isin(pool, labelled)][: _TRAIN - len(labelled)]
    held_out = _of_each_class(_order(np.flatnonzero(~in_both(test, train)), "test"), test_labels, _TEST)
    output.mkdir(parents=True, exist_ok=True)
    known = {row: int(train_labels[row]) for row in labelled.tolist()}
    for number, rows in enumerate(_deal([labelled, unlabelled], _TRAIN_SHARDS, "train-order")):
        _write(output / f"train-{number:04d}.tar", "train", rows, train, known)
    known = {row: int(test_labels[row]) for row in held_out.tolist()}
    for number, rows in enumerate(_deal([held_out], _TEST_SHARDS, "test-order")):
        _write(output / f"test-{number:04d}.tar", "test", rows, test, known)
    size = sum(path.stat().st_size for path in output.glob("*.tar"))
    print(f"{output}: {_TRAIN} training images, {len(labelled)} labelled; {len(held_out)} test images; {size:,} bytes")


if __name__ == "__main__":
    typer.run(make_samples)
