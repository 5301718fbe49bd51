"""How random a window is: batches of `ShuffledOrder` beside those of a whole shuffle, counted and trained from.

The worst case is rows that were written sorted by class. `python tests/benchmarks/shuffling.py docs/shuffling.png`
draws what docs/reading.md shows; shuffling_figure.py holds the drawing.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from figure import Figure
from teachers import SAMPLES, shipped
from torch.nn import functional

from teachercache.cache import open_cache
from teachercache.cache.reading.order import ShuffledOrder, SourceOrder, row_blocks
from teachercache.stages.cache_identity import PIXELS
from teachercache.stages.teacher.runner import build_cache


@dataclass(frozen=True, slots=True)
class Size:
    blocks: int  # of the counted order, 256 rows each
    epochs: int  # counted
    shards: int  # of the shipped samples that the student learns from
    seeds: int


FULL = Size(blocks=256, epochs=24, shards=7, seeds=10)
TINY = Size(blocks=16, epochs=2, shards=1, seeds=1)
BLOCK, BATCH = 256, 256
STUDENT_BLOCK, STUDENT_BATCH, STUDENT_EPOCHS = 32, 64, 3


@dataclass(frozen=True, slots=True)
class Mixing:
    """Of one window: how often two rows of a block meet in a batch, and the variance of a batch's mean when rows of a
    block are all alike; each as a multiple of the whole shuffle's. `formula` is what the latter should be."""

    window: int
    meetings: float
    variance: float
    formula: float


@dataclass(frozen=True, slots=True)
class Learnt:
    """Held-out accuracy in per cent of a linear student, (seeds,), from rows sorted by class, and from mixed ones."""

    window: int  # 0: no shuffling at all
    sorted_rows: np.ndarray
    mixed_rows: np.ndarray


def measure(tiny: bool, scratch: Path) -> list[Figure]:
    """The figures of this benchmark."""
    size = TINY if tiny else FULL
    mixings, learnt = count(size), train(size, scratch)
    whole = learnt[-1]
    figures = [
        Figure(
            f"batches of {BATCH}, rows alike in a block, window of {one.window} of {size.blocks} blocks",
            f"variance of a batch's mean x {one.variance:.2f}",
            "whole shuffle: x 1",
            one.variance,
            note=f"formula {one.formula:.2f}; two rows of a block meet {one.meetings:.1f} times as often",
        )
        for one in mixings
    ]
    for one in learnt:
        what = f"window of {one.window} of {whole.window} blocks" if one.window else "no shuffling"
        figures.append(
            Figure(
                f"linear student, rows sorted by class, {what}",
                f"{one.sorted_rows.mean():.1f} % right",
                f"whole shuffle: {whole.sorted_rows.mean():.1f} % right",
                float(one.sorted_rows.mean() / whole.sorted_rows.mean()),
                note=f"{one.mixed_rows.mean():.1f} % when the rows were mixed when they were written",
            )
        )
    return figures


def windows_of(blocks: int) -> list[int]:
    """Powers of two up to the whole."""
    return [*(1 << power for power in range(20) if 1 << power < blocks), blocks]


def count(size: Size) -> list[Mixing]:
    """Count batches of the real order; a row's value is random, and the same for all rows of its block."""
    values = np.random.default_rng(0).standard_normal(size.blocks)
    values = (values - values.mean()) / values.std()
    return [_mixing(window, size, values) for window in windows_of(size.blocks)]


def _mixing(window: int, size: Size, values: np.ndarray) -> Mixing:
    rows, means, pairs = size.blocks * BLOCK, [], 0
    for seed in range(size.epochs):
        order = ShuffledOrder.of(np.array([rows]), BLOCK, window, seed).epoch_rows(0, 0, rows)
        blocks = (order // BLOCK).reshape(-1, BATCH)
        means.append(values[blocks].mean(axis=1))
        present = np.zeros((len(blocks), size.blocks), np.int64)
        np.add.at(present, (np.arange(len(blocks))[:, None], blocks), 1)
        pairs += int((present * (present - 1)).sum())
    expected = (BATCH - 1) / (rows - 1) * rows * (BLOCK - 1) * size.epochs
    whole = (1 - BATCH / rows) / BATCH  # the variance of a mean of BATCH rows drawn without putting back
    return Mixing(window, pairs / expected, float(np.var(means) / whole), formula(window, size.blocks))


def formula(window: int, blocks: int) -> float:
    """Variance of a batch's mean as a multiple of the whole shuffle's, when all rows of a block are alike: that of the
    window's own mean, and that of a batch around it; both are draws without putting back."""
    rows, of_window = blocks * BLOCK, window * BLOCK
    between = (blocks - window) / (blocks - 1) / window
    spread = (1 - between) * (of_window / (of_window - 1))
    within = spread * (1 - BATCH / of_window) / BATCH if window * BLOCK > BATCH else 0.0
    return (between + within) / ((1 - BATCH / rows) / BATCH)


def train(size: Size, scratch: Path) -> list[Learnt]:
    """Train a linear student on the shipped teacher's logits, from every window."""
    pixels, logits, labels = _heard(scratch / "train", size.shards, held_out=False)
    held_out = _heard(scratch / "test", 2, held_out=True)
    by_class = np.argsort(labels, kind="stable")
    mixed = np.random.default_rng(0).permutation(len(labels))
    blocks = row_blocks(np.array([len(labels)]), STUDENT_BLOCK)
    found = []
    for window in [0, *windows_of(len(blocks.starts))]:
        accuracy: dict[str, list[float]] = {"sorted": [], "mixed": []}
        for seed in range(size.seeds):
            order = ShuffledOrder(blocks, window, seed) if window else SourceOrder(blocks, 1)
            places = [order.epoch_rows(epoch, 0, len(labels)) for epoch in range(STUDENT_EPOCHS)]
            for name, written in (("sorted", by_class), ("mixed", mixed)):
                rows = [written[of_epoch] for of_epoch in places]
                accuracy[name].append(_accuracy(rows, pixels, logits, held_out, seed))
        found.append(Learnt(window, np.array(accuracy["sorted"]), np.array(accuracy["mixed"])))
    return found


def _heard(folder: Path, shards: int, held_out: bool) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """(pixels (n, 784), the teacher's logits (n, 10), labels (n,)) of the shipped samples, from a cache of them."""
    folder.mkdir()
    bench = shipped(folder, 1, shards)
    if held_out:
        object.__setattr__(bench, "source", bench.source.model_copy(update={"path": str(SAMPLES / "test-*.tar")}))
    build_cache(bench.job(folder / "cache", batch_size=256))
    cache = open_cache(folder / "cache")
    batch = cache.read(np.arange(cache.rows), ["logits", PIXELS])
    pixels = torch.from_numpy(batch.signals[PIXELS].reshape(len(batch), -1).astype(np.float32) / 255)
    return pixels, torch.from_numpy(batch.signals["logits"]), batch.labels


def _accuracy(
    epochs: list[np.ndarray],
    pixels: torch.Tensor,
    logits: torch.Tensor,
    held_out: tuple[torch.Tensor, torch.Tensor, np.ndarray],
    seed: int,
) -> float:
    """Per cent right on the held-out samples after training on rows in this order: SGD, KL to the teacher."""
    torch.manual_seed(seed)
    student = torch.nn.Linear(pixels.shape[1], logits.shape[1])
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    targets = functional.softmax(logits, dim=-1)
    for rows in epochs:
        for start in range(0, len(rows), STUDENT_BATCH):
            chosen = torch.from_numpy(rows[start : start + STUDENT_BATCH])
            loss = functional.cross_entropy(student(pixels[chosen]), targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        said = student(held_out[0]).argmax(dim=-1).numpy()
    return float(100 * np.mean(said == held_out[2]))


def main(path: str) -> None:
    """Measure, and draw the figure."""
    from shuffling_figure import draw

    with TemporaryDirectory() as scratch:
        draw(Path(path), count(FULL), train(FULL, Path(scratch)))


if __name__ == "__main__":
    main(sys.argv[1])
