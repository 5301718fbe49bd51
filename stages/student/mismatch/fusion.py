"""ReviewKD's way from a student's stages to its teacher's: deep maps are carried back into shallow ones."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import StageError
from ..trial.randomness import seeded

MapShape = tuple[int, int, int]  # C, h, w of one row


class _Stage(nn.Module):
    """One attention-based fusion (ABF): the student's map and the carried one, weighed at every place of the grid."""

    def __init__(self, channels: int, middle: int, wanted: int, carried: bool) -> None:
        super().__init__()
        self.narrow = nn.Sequential(nn.Conv2d(channels, middle, 1, bias=False), nn.BatchNorm2d(middle))
        self.widen = nn.Sequential(nn.Conv2d(middle, wanted, 3, padding=1, bias=False), nn.BatchNorm2d(wanted))
        self.weigh = nn.Sequential(nn.Conv2d(2 * middle, 2, 1), nn.Sigmoid()) if carried else None

    def forward(self, values: Tensor, carried: Tensor | None, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        own: Tensor = self.narrow(values)
        if self.weigh is not None and carried is not None:
            carried = functional.interpolate(carried, size=own.shape[-2:], mode="nearest")
            weights = self.weigh(torch.cat([own, carried], dim=1))
            own = own * weights[:, :1] + carried * weights[:, 1:]
        if tuple(own.shape[-2:]) != size:
            own = functional.interpolate(own, size=size, mode="nearest")
        return self.widen(own), own


class ReviewFusion(nn.Module):
    """Maps of the student's stages, shallow to deep, fused from the deep end and brought to the teacher's shapes.

    Give the results and the teacher's maps to `hcl`, pair by pair. `student` and `teacher` are (C, h, w) of each stage,
    as many on both sides; weights depend on `seed` alone. Chen et al. 2021, arXiv 2104.09044, section 3.
    """

    def __init__(
        self, student: Sequence[MapShape], teacher: Sequence[MapShape], *, middle: int = 256, seed: int = 0
    ) -> None:
        super().__init__()
        if len(student) != len(teacher) or not student:
            raise StageError(f"review: {len(student)} stages of the student and {len(teacher)} of the teacher")
        self.sizes = tuple((height, width) for _, height, width in teacher)
        last = len(student) - 1
        with seeded(seed):
            self.stages = nn.ModuleList(
                _Stage(own[0], middle, wanted[0], stage != last)
                for stage, (own, wanted) in enumerate(zip(student, teacher, strict=True))
            )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The student's maps (B, C, h, w), shallow to deep -> maps of the teacher's shapes, in the same order."""
        if len(maps) != len(self.stages):
            raise StageError(f"review: {len(maps)} maps for {len(self.stages)} stages")
        found: list[Tensor] = []
        carried: Tensor | None = None
        for stage, values, size in zip(reversed(self.stages), reversed(maps), reversed(self.sizes), strict=True):
            fused, carried = stage(values, carried, size)
            found.append(fused)
        return found[::-1]
