"""How many held-out images saved students name rightly, and what two ways to train them differ by."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from figure import Figure
from teachers import SAMPLES
from torch import Tensor

from teachercache.pipeline.recipes.sample_shards import decoded, read_samples
from teachercache.pipeline.report.spread import paired_difference, spread
from teachercache.stages.student.files.saved import load_student, read_student
from teachercache.stages.student.inputs.images import prepare_views


@dataclass(frozen=True, slots=True)
class HeldOutImages:
    """Views uint8 (n, 28, 28, 1) and labels int64 (n,)."""

    views: Tensor
    labels: Tensor

    @torch.inference_mode()
    def top1(self, folder: Path) -> float:
        """Of the student in `folder`: images named rightly, in percent."""
        pixels = prepare_views(self.views, read_student(folder).student.input)
        said = load_student(folder, ("logits",))({"pixel_values": pixels})["logits"]
        return 100 * float((said.argmax(-1) == self.labels).float().mean())


def held_out_images() -> HeldOutImages:
    """The plain views of the shipped recipe's held-out set."""
    found = [members for _, members in read_samples(SAMPLES, "test")]
    images = np.stack([decoded(members["webp"])[..., :1] for members in found])
    return HeldOutImages(torch.from_numpy(images), torch.tensor([int(members["cls"]) for members in found]))


def lost(what: str, name: str, ours: Mapping[int, float], reference: Mapping[int, float], allowed: float) -> Figure:
    """Figures in percent, by seed, against `reference`; the bar is the most that the mean may lose."""
    return _judged(what, name, ours, reference, f"<= {allowed:g} points lost", lambda mean: -mean <= allowed)


def within(what: str, name: str, ours: Mapping[int, float], reference: Mapping[int, float], allowed: float) -> Figure:
    """As `lost`; the bar is the most that the mean may differ."""
    return _judged(what, name, ours, reference, f"within {allowed:g} points", lambda mean: abs(mean) <= allowed)


def _judged(
    what: str,
    name: str,
    ours: Mapping[int, float],
    reference: Mapping[int, float],
    bar: str,
    reached: Callable[[float], bool],
) -> Figure:
    difference = paired_difference(ours, reference, name)
    assert difference is not None
    low, high = difference.interval or (-np.inf, np.inf)
    mine, others = spread(list(ours.values())).mean, spread(list(reference.values())).mean
    return Figure(
        what,
        f"{mine:.2f} %",
        f"{name}: {others:.2f} %",
        mine / others,
        bar=bar,
        reached=reached(difference.mean),
        note=f"{difference.mean:+.2f} points, 95 % interval {low:+.2f} to {high:+.2f}, {len(difference.seeds)} seeds",
    )
