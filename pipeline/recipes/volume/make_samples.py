"""Makes the sample shards of `data/samples/garments-3d`: solids made of pictures of `dataset-fashion-mnist`.

    python -m teachercache.pipeline.recipes.volume.make_samples [--package DIR] [--output DIR]

The same bytes at each run. A picture of that Debian package becomes a cushion: thick where the picture is bright and
far from its edge. Then it is turned by a random rotation. It downloads nothing and writes no card.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor

from ..emoji.drawing_lots import draw, shuffled
from ..image_vit.make_samples import PACKAGE, in_both, read_split
from ..sample_shards import npy, write_shards

SAMPLES = Path("data/samples/garments-3d")
SIDE, LEVELS = 16, 8  # voxels a side; steps of density, which are kept as 0 to 7
TURN, TILT = 45.0, 25.0  # degrees about the upright axis, and about each of the others, at most
_LABELLED, _TEST = 30, 40  # of each class
_POOL, _TRAIN_SHARDS = 600, 5
_ANGLE_STEPS = 1000


@dataclass(frozen=True, slots=True)
class Shipped:
    """Rows of the package's splits."""

    labelled: np.ndarray
    pool: np.ndarray
    test: np.ndarray


def choose_rows(package: Path) -> Shipped:
    """Labelled and test rows are balanced; the pool is drawn without looking at the class."""
    (train, labels), (test, test_labels) = read_split(package, "train"), read_split(package, "t10k")
    order = np.array(shuffled(np.flatnonzero(~in_both(train, test)).tolist(), "garments", "train"))
    labelled = _balanced(order, labels, _LABELLED)
    pool = order[~np.isin(order, labelled)][:_POOL]
    held = np.array(shuffled(np.flatnonzero(~in_both(test, train)).tolist(), "garments", "test"))
    return Shipped(labelled, pool, _balanced(held, test_labels, _TEST))


def solids(images: np.ndarray, angles: Tensor) -> Tensor:
    """Pictures uint8 (n, 28, 28), each turned by its angles (n, 3) in degrees: uint8 (n, SIDE, SIDE, SIDE), which are
    depth, height, width."""
    flat = F.interpolate(torch.from_numpy(images)[:, None].float() / 255, size=SIDE, mode="area")
    soft = F.avg_pool2d(F.pad(flat, (2, 2, 2, 2)), 5, stride=1)
    half = (0.15 + 0.85 * soft) * (flat > 0.12) * SIDE * 0.3  # thickness to each side, in voxels
    depth = (torch.arange(SIDE) - (SIDE - 1) / 2).abs()[None, :, None, None]
    upright = (half - depth + 0.5).clamp(0, 1) * (0.5 + 0.5 * flat)
    turned = F.affine_grid(_rotations(angles), [len(images), 1, SIDE, SIDE, SIDE], align_corners=False)
    density = F.grid_sample(upright[:, None], turned * 1.15, align_corners=False)[:, 0]
    return (density * (LEVELS - 1)).round().to(torch.uint8)


def random_angles(purpose: str, rows: list[int]) -> Tensor:
    """Degrees about the upright axis, the axis from left to right and the axis of view: (n, 3)."""
    widths = (TURN, TILT, TILT)
    lots = [[draw(_ANGLE_STEPS, "garments", purpose, row, axis) for axis in range(3)] for row in rows]
    return (torch.tensor(lots, dtype=torch.float64) / (_ANGLE_STEPS - 1) * 2 - 1) * torch.tensor(widths)


def make_samples(
    package: Annotated[Path, typer.Option(help="folder of the idx files")] = PACKAGE,
    output: Annotated[Path, typer.Option(help="folder of the shards")] = SAMPLES,
) -> None:
    """Writes train-*.tar and test-*.tar."""
    rows = choose_rows(package)
    train = _samples(package, "train", rows.labelled, True) + _samples(package, "train", rows.pool, False)
    size = write_shards(output, "train", shuffled(train, "garments", "order"), _TRAIN_SHARDS)
    test = shuffled(_samples(package, "t10k", rows.test, True), "garments", "order")
    size += write_shards(output, "test", test, 1)
    print(f"{output}: {len(rows.labelled)} labelled, {len(rows.pool)} not, {len(test)} test; {size:,} bytes")


def _balanced(rows: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    return np.concatenate([rows[labels[rows] == number][:count] for number in range(10)])


def _samples(package: Path, split: str, rows: np.ndarray, labelled: bool) -> list[dict[str, Any]]:
    images, labels = read_split(package, split)
    made = solids(images[rows], random_angles(split, rows.tolist())).numpy()
    name = "train" if split == "train" else "test"
    found: list[dict[str, Any]] = [
        {"__key__": f"{name}-{row:05d}", "npy": npy(solid)} for row, solid in zip(rows.tolist(), made, strict=True)
    ]
    if labelled:
        for sample, row in zip(found, rows.tolist(), strict=True):
            sample["cls"] = str(labels[row]).encode()
    return found


def _rotations(angles: Tensor) -> Tensor:
    """Of degrees (n, 3), matrices (n, 3, 4) for `affine_grid`."""
    (a, b, c), zero = torch.deg2rad(angles).float().unbind(dim=1), torch.zeros(len(angles))
    one = torch.ones(len(angles))
    upright = _matrix([[a.cos(), zero, a.sin()], [zero, one, zero], [-a.sin(), zero, a.cos()]])
    across = _matrix([[one, zero, zero], [zero, b.cos(), -b.sin()], [zero, b.sin(), b.cos()]])
    view = _matrix([[c.cos(), -c.sin(), zero], [c.sin(), c.cos(), zero], [zero, zero, one]])
    return F.pad(upright @ across @ view, (0, 1))


def _matrix(rows: list[list[Tensor]]) -> Tensor:
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


if __name__ == "__main__":
    typer.run(make_samples)
