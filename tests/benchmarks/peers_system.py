"""What is measured of a system that keeps logits: how it writes them, and how it gives shuffled rows back."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 256

Read = Callable[[np.ndarray], Any]  # row numbers to what the system gives for them


@dataclass(frozen=True, slots=True)
class System:
    """`write(folder, values (n, classes) f32)` keeps all rows; `open(folder)` gives a reader of batches.

    `logits(what a reader gave)` are the logits (n, classes) that it stands for; None of a sampled form, which stands
    for them only on the average. A `stream` has an order of its own: its reader gives (row numbers, values). One that
    `reads` nothing itself is only a writer.
    """

    name: str
    write: Callable[[Path, np.ndarray], None]
    open: Callable[[Path], Read]
    logits: Callable[[Any], np.ndarray] | None = np.asarray
    whole: bool = True  # all classes are kept
    slow: bool = False  # far fewer batches will do
    stream: bool = False
    reads: bool = True
    package: bool = True  # a system that somebody ships, not a format of plain files
    note: str = ""


def batches(values: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(First row, rows) as a teacher gives them."""
    for start in range(0, len(values), BATCH):
        yield start, values[start : start + BATCH]


def teacher_rows(rows: int, classes: int) -> np.ndarray:
    """Logits (rows, classes) f32 with heavy tails: a few classes have most of the mass, all have some."""
    rng = np.random.default_rng(0)
    values = rng.standard_t(4, (rows, classes)) * 1.2
    values[np.arange(rows), rng.integers(0, classes, rows)] += rng.gamma(4, 2.5, rows)
    return values.astype(np.float32)
