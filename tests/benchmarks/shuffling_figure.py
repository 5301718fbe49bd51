"""Draws how random a window is: where rows go, how noisy batches of sorted rows are, what a student learns."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from shuffling import BATCH, STUDENT_BATCH, STUDENT_BLOCK, Learnt, Mixing

from teachercache.cache.reading.order import ShuffledOrder

_INK, _OURS, _OTHER, _FAINT = "#333333", "#1565c0", "#c62828", "#9e9e9e"


def draw(path: Path, mixings: Sequence[Mixing], learnt: Sequence[Learnt]) -> None:
    """Write the figure as a PNG."""
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    places, noise, student = figure.subplots(1, 3)
    _draw_places(places)
    _draw_noise(noise, mixings)
    _draw_student(student, learnt)
    for axes in (places, noise, student):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=_INK)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _draw_places(axes: Axes) -> None:
    """Where the rows of an epoch come from: 64 blocks of 64 rows, windows of 8 blocks."""
    rows = ShuffledOrder.of(np.array([64 * 64]), 64, 8, 1).epoch_rows(0, 0, 64 * 64)
    axes.scatter(np.arange(len(rows)) / len(rows), rows / 64, s=0.6, color=_OURS, linewidths=0, rasterized=True)
    for edge in range(1, 8):
        axes.axvline(edge / 8, color=_FAINT, linewidth=0.6)
    axes.set(xlabel="place in the epoch", ylabel="block of the cache", title="An epoch of 64 blocks, windows of 8")
    axes.set(xlim=(0, 1), ylim=(0, 64))


def _draw_noise(axes: Axes, mixings: Sequence[Mixing]) -> None:
    windows = [one.window for one in mixings]
    axes.plot(windows, [one.formula for one in mixings], color=_FAINT, label="formula")
    axes.plot(windows, [one.variance for one in mixings], "o", color=_OURS, markersize=4.5, label="counted")
    axes.axhline(1, color=_INK, linewidth=0.8, linestyle="--", label="whole shuffle")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set(xlabel=f"window (of {windows[-1]} blocks)", ylabel="variance of a batch's mean (multiple)")
    axes.set_title(f"Worst case: blocks of one class, batches of {BATCH}")
    axes.legend(frameon=False)


def _draw_student(axes: Axes, learnt: Sequence[Learnt]) -> None:
    windows = [one.window or 0.5 for one in learnt]
    for rows, colour, label in (("mixed_rows", _OURS, "rows mixed"), ("sorted_rows", _OTHER, "rows sorted by class")):
        found = np.array([getattr(one, rows) for one in learnt])
        mean, spread = found.mean(axis=1), found.std(axis=1)
        axes.fill_between(windows, mean - spread, mean + spread, color=colour, alpha=0.15, linewidth=0)
        axes.plot(windows, mean, "o-", color=colour, markersize=4, label=label)
    axes.set_xscale("log", base=2)
    axes.set_xticks(windows, ["none", *(str(one.window) for one in learnt[1:])])
    axes.minorticks_off()
    axes.set(xlabel=f"window (blocks of {STUDENT_BLOCK} rows, batches of {STUDENT_BATCH})", ylabel="held-out top-1 %")
    axes.set_title("A linear student on cached logits")
    axes.legend(frameon=False, loc="lower right")
