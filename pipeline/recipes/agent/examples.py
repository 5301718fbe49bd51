"""Scenes as tensors: what a teacher is trained on, and what the shipped shards hold."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..sample_shards import decoded, read_samples
from .canvas import offset, paint
from .scene import WORDS, Scene

TOKENS = 10  # of an instruction, filled up with 0; the longest has nine words
_IDS = {word: number + 2 for number, word in enumerate(WORDS)}  # as the tokenizer beside the shards counts


@dataclass(frozen=True, slots=True)
class Examples:
    """images uint8 (n, 64, 64, 3), tokens int64 (n, TOKENS), cell and answer int64 (n,), offset float32 (n, 2), kind
    int64 (n,)."""

    images: Tensor
    tokens: Tensor
    cell: Tensor
    offset: Tensor
    answer: Tensor
    kind: Tensor

    def take(self, rows: Tensor) -> "Examples":
        """Some of them, in the order of `rows`."""
        return Examples(*(getattr(self, field.name)[rows] for field in fields(self)))


def tokenize(instruction: str) -> list[int]:
    """Ids of an instruction's words, TOKENS of them. Raises KeyError for a word that no scene has."""
    ids = [_IDS[word] for word in instruction.split()]
    return ids + [0] * (TOKENS - len(ids))


def paint_all(scenes: Sequence[Scene], styles: Sequence[int], sheet: np.ndarray) -> Tensor:
    """Scenes, each in the style of its number in the sheet (styles, icons, 12, 12, 4): uint8 (n, 64, 64, 3)."""
    return torch.from_numpy(np.stack([paint(scene, sheet[style]) for scene, style in zip(scenes, styles, strict=True)]))


def labels_of(scene: Scene, kinds: Sequence[str]) -> dict[str, object]:
    """What the sample says beside its instruction."""
    return {
        "cell": scene.cell,
        "offset": list(offset(scene)),
        "answer": scene.answer,
        "kind": kinds.index(scene.kind),
        "tokens": tokenize(scene.instruction),
    }


def read_examples(folder: Path, split: str) -> Examples:
    """Every sample of the shipped `<split>-*.tar`."""
    found = [members for _, members in read_samples(folder, split)]
    labels = [json.loads(members["json"]) for members in found]
    images = torch.from_numpy(np.stack([decoded(members["webp"]) for members in found]))
    return as_examples(images, labels)


def as_examples(images: Tensor, labels: Sequence[dict[str, object]]) -> Examples:
    """Images and what `labels_of` says of each."""
    columns = {name: torch.tensor([row[name] for row in labels]) for name in labels[0]}
    return Examples(images, *(columns[name] for name in ("tokens", "cell", "offset", "answer", "kind")))
