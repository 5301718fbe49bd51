"""A convolutional image tower: 3x3 convolutions that halve the side, with a norm that looks at one sample alone.

Group norm, not batch norm: what a tower says of a slice or an image must not depend on what else is in the batch, and
of a padded slice it would.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from ....errors import StageError


class Convolutions(nn.Module):
    """(B, channels, H, W) -> (B, widths[-1], H', W'). The first convolution strides `stride` pixels, and the side
    halves from each width to the next."""

    def __init__(self, channels: int, widths: Sequence[int], stride: int = 1) -> None:
        super().__init__()
        if not widths or not all(isinstance(width, int) and width > 0 for width in widths):
            raise StageError(f"args.widths are positive numbers, one a stage, and not {widths!r}")
        stages = [_block(channels, widths[0], stride), *(_block(narrow, wide, 2) for narrow, wide in pairwise(widths))]
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> Tensor:
        for stage in self.stages:
            images = stage(images)
        return images


def _block(narrow: int, wide: int, stride: int) -> nn.Module:
    groups = next(groups for groups in (8, 4, 2, 1) if wide % groups == 0)
    convolution = nn.Conv2d(narrow, wide, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(groups, wide), nn.ReLU())
