"""Trains the teacher of `data/samples/garments-3d-cnn` on solids of the package's training pictures.

    python -m teachercache.pipeline.recipes.volume.train_teacher [--package DIR] [--output DIR] [--steps N]

A few minutes on one core. The shipped pictures are left out of its training set, and so is the package's t10k split;
the test shard is read once, after training, for the accuracy in the card. It downloads nothing.
"""

import io
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor

from ..classifier_training import Recipe, all_logits, save_weights, train
from ..emoji.drawing_lots import shuffled
from ..image_vit.make_samples import CLASSES, PACKAGE, read_split
from ..sample_shards import read_samples
from .make_samples import SAMPLES, choose_rows, random_angles, solids
from .teacher import TEACHER, Volumetric, load_teacher

STEPS, PICTURES = 1000, 24_000
_CARD = """# A small 3D CNN, the teacher of the recipe `volume`

| | |
|---|---|
| Architecture | `teachercache.pipeline.recipes.volume.teacher:load_teacher`: three stages of two 3x3x3 \
convolutions |
| Parameters | {parameters:,} |
| Trained on | solids of {pictures:,} training pictures of Fashion-MNIST that are not shipped, from random weights |
| Accuracy | {right:.2f} % on the shipped test shard |
| Training | {settings}; {seconds:.0f} s of CPU on {threads} thread(s) of a shared x86-64 machine |
| Licence | Apache-2.0, as the rest of this repository |
| Files | `config.json`, `model.safetensors` (float16; computed in float32) |

No shipped solid went into training or chose when to stop. Made by `make sample-teacher RECIPE=volume`.
"""


def read_solids(folder: Path, split: str) -> tuple[Tensor, Tensor]:
    """The labelled solids of a split, uint8 (n, 16, 16, 16), and their labels int64 (n,)."""
    found = [members for _, members in read_samples(folder, split) if "cls" in members]
    volumes = torch.from_numpy(np.stack([np.load(io.BytesIO(members["npy"])) for members in found]))
    return volumes, torch.tensor([int(members["cls"]) for members in found])


def make_solids(package: Path, count: int) -> tuple[Tensor, Tensor]:
    """Solids of `count` training pictures that are not shipped, and their classes."""
    images, labels = read_split(package, "train")
    kept = choose_rows(package)
    taken = set(kept.labelled.tolist()) | set(kept.pool.tolist())
    order = shuffled([row for row in range(len(images)) if row not in taken], "garments", "teacher")[:count]
    parts = [np.array(order[start : start + 500]) for start in range(0, count, 500)]
    made = [solids(images[rows], random_angles("teacher", rows.tolist())) for rows in parts]
    return torch.cat(made), torch.from_numpy(labels[np.array(order)].copy())


def mirrored(volumes: Tensor, generator: torch.Generator) -> Tensor:
    """Half of them with left and right changed."""
    flip = torch.rand(len(volumes), generator=generator) < 0.5
    return torch.where(flip[:, None, None, None], volumes.flip(-1), volumes)


def run(
    package: Annotated[Path, typer.Option(help="folder of the idx files")] = PACKAGE,
    samples: Annotated[Path, typer.Option(help="folder of the shipped samples")] = SAMPLES,
    output: Annotated[Path, typer.Option(help="where the teacher is saved")] = TEACHER,
    steps: Annotated[int, typer.Option(min=1)] = STEPS,
    threads: Annotated[int, typer.Option(min=1)] = os.cpu_count() or 1,
) -> None:
    """Trains, saves, measures, and writes the card."""
    torch.set_num_threads(threads)
    recipe = Recipe(steps=steps)
    volumes, labels = make_solids(package, PICTURES)
    torch.manual_seed(recipe.seed)
    model = Volumetric(len(CLASSES))
    seconds = train(model, volumes, labels, recipe, mirrored)
    save_weights(model, {"classes": len(CLASSES)}, output)
    tests, classes = read_solids(samples, "test")
    right = 100 * float((all_logits(load_teacher(str(output)), tests).argmax(-1) == classes).float().mean())
    text = _CARD.format(
        parameters=sum(p.numel() for p in model.parameters()),
        pictures=PICTURES,
        right=right,
        settings=", ".join(f"{name} {value}" for name, value in asdict(recipe).items()),
        seconds=seconds,
        threads=threads,
    )
    (output / "README.md").write_text(text, encoding="utf-8")
    print(text, flush=True)


if __name__ == "__main__":
    typer.run(run)
