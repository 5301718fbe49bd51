"""Plays five clients and their server on one machine, up to the cache that the server trains from.

    python -m teachercache.pipeline.recipes.federated.prepare

Each client trains a teacher on images that only it has, and hears it on the public shards; the server merges what they
heard. `make demo RECIPE=federated` does this first. What is done already is not done again.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from ...commands.cache.build import build
from ...commands.cache.merge import merge
from ...console import console
from ..classifier_training import all_logits
from ..sample_shards import decoded, read_samples, write_shards
from .clients import CLASSES, CLIENTS, load_client, share_out, train_client

RUN, SAMPLES = Path("runs/federated"), Path("data/samples/fashion-mnist")
RECIPE = Path(__file__).parent / "recipe.yaml"
PUBLIC_LABELS, SHARDS = 10, 5  # labelled public images of each class, by which teachers are calibrated; public shards
NAMES = [f"client-{number}" for number in range(1, CLIENTS + 1)]


def prepare() -> None:
    """All of it, in the order of a real federation."""
    public, private = split()
    if not (RUN / "public" / f"public-{SHARDS - 1:04d}.tar").exists():
        write_shards(RUN / "public", "public", public, SHARDS)
    images = np.stack([decoded(sample["webp"])[..., 0] for sample in private])
    labels = np.array([int(sample["cls"]) for sample in private])
    parts = dict(zip(NAMES, share_out(labels), strict=True))
    for name, rows in {**parts, "union": np.arange(len(labels))}.items():
        if not (RUN / name / "teacher" / "config.json").exists():
            console.print(f"{name}: its own teacher, on {len(rows)} images")
            train_client(images[rows], labels[rows], RUN / name / "teacher")
        build(client_file(name))
    note_clients(parts, labels)
    own = [str(RUN / name / "cache") for name in NAMES]
    merge(str(RUN / "mean" / "cache"), own, average="logits")
    merge(str(RUN / "server" / "cache"), own, average="logits", by_confidence=True)
    every = [*NAMES, "mean", "server", "union"]
    merge(str(RUN / "cache"), [str(RUN / name / "cache") for name in every], names=",".join(every))


def split() -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """The public samples, of which few have a label, and those that belong to clients, each with its label."""
    public: list[Mapping[str, Any]] = []
    private: list[Mapping[str, Any]] = []
    given = [0] * CLASSES
    for key, sample in read_samples(SAMPLES, "train"):
        number = int(sample["cls"]) if "cls" in sample else None
        kept = number is None or given[number] < PUBLIC_LABELS
        if number is not None and kept:
            given[number] += 1
        (public if kept else private).append({"__key__": key, **sample})
    return public, private


def client_file(name: str) -> Path:
    """The configuration by which a client builds its cache: the recipe's samples and views, and its own teacher."""
    recipe = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    factory = "teachercache.pipeline.recipes.federated.clients:load_client"
    teacher = {"use": factory, "args": {"folder": str(RUN / name / "teacher")}, "inputs": {"image": "image"}}
    content = {
        "name": f"federated: {name}",
        "output": str(RUN / name),
        "source": recipe["source"],
        "views": recipe["views"],
        "teacher": teacher,
        "cache": {"signals": {"logits": {"codec": "f16"}}},
    }
    (RUN / name / "cache.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return RUN / name / "cache.yaml"


def note_clients(parts: Mapping[str, np.ndarray], labels: np.ndarray) -> None:
    """Write clients.json: how many images of each class a client has, and the percentage of the held-out images that
    its own teacher, and the one of all clients' images, names right."""
    held_out = [sample for _, sample in read_samples(SAMPLES, "test")]
    images = np.stack([decoded(sample["webp"])[..., 0] for sample in held_out])
    pixels = torch.from_numpy(images).float()[:, None] / 255
    truth = np.array([int(sample["cls"]) for sample in held_out])
    every = {**parts, "union": np.arange(len(labels))}
    found = {
        name: {"images": _counts(labels[rows]), "top1": _top1(name, pixels, truth)} for name, rows in every.items()
    }
    for name, one in found.items():
        console.print(f"  {name}: images of each class {one['images']}, {one['top1']:.1f} % right", soft_wrap=True)
    (RUN / "clients.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _counts(labels: np.ndarray) -> Sequence[int]:
    counts: list[int] = np.bincount(labels, minlength=CLASSES).tolist()
    return counts


def _top1(name: str, pixels: torch.Tensor, truth: np.ndarray) -> float:
    guesses = all_logits(load_client(str(RUN / name / "teacher")), pixels).argmax(dim=1).numpy()
    return 100 * float((guesses == truth).mean())


if __name__ == "__main__":
    prepare()
