"""Logits through torchcache: a module whose outputs it keeps on disk, a file a sample, found by a hash of the input."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers_system import Read, batches

_PIXELS = 3 * 32 * 32


def write_torchcache(folder: Path, values: np.ndarray) -> None:
    """Its cache is filled by asking the module once for every row."""
    ask = _module(folder, torch.from_numpy(values.astype(np.float16)))
    for start, rows in batches(values):
        ask(_images(np.arange(start, start + len(rows))))


def open_torchcache(folder: Path) -> Read:
    """A fresh module of the same source, that has nothing in memory: a row that it does not find comes back as NaN."""
    ask = _module(folder, None)
    return lambda rows: np.asarray(ask(_images(rows)).numpy())


def _images(rows: np.ndarray) -> torch.Tensor:
    """Random images (n, pixels) f32 from 0 to 1, always the same of a row; the first two pixels tell its number."""
    images = np.stack([np.random.default_rng(int(row)).integers(0, 256, _PIXELS, np.uint8) for row in rows])
    images[:, 0], images[:, 1] = rows // 256, rows % 256
    return torch.from_numpy(images.astype(np.float32) / 255)


def _module(folder: Path, logits: torch.Tensor | None, classes: int = 1000) -> Callable[[torch.Tensor], Any]:
    from torchcache import torchcache

    @torchcache(
        persistent=True,
        persistent_cache_dir=str(folder),
        persistent_module_hash="teacher",
        max_memory_cache_size=0,
        cache_dtype=torch.float16,
    )
    class Teacher(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            number = (images[:, :2] * 255).round().long()
            if logits is None:
                return torch.full((len(images), classes), torch.nan)
            return logits.float()[number[:, 0] * 256 + number[:, 1]]

    logging.getLogger("torchcache").setLevel(logging.ERROR)
    return Teacher()
