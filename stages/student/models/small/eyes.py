"""The vision encoder of a multimodal student: an image becomes tokens on a square grid, numbered row by row."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ....errors import StageError
from .convolutions import Convolutions


class Eyes(nn.Module):
    """(B, C, H, W) -> (B, side * side, width), with learnt positions."""

    def __init__(self, see: nn.Module, features: int, side: int, width: int) -> None:
        super().__init__()
        self.see, self.project = see, nn.Linear(features, width)
        self.positions = nn.Parameter(0.02 * torch.randn(side * side, width))
        self.side = side

    def forward(self, images: Tensor) -> Tensor:
        tokens: Tensor = self.project(self.see(images).flatten(2).transpose(1, 2)) + self.positions
        return tokens


def build_eyes(
    channels: int, size: int, kind: str, widths: Sequence[int], patch: int, width: int, stride: int = 1
) -> Eyes:
    """`kind` conv: convolutions of `widths`, the first of which strides `stride` pixels (1 or 2), and which halve the
    side from each to the next. patch: one linear map of squares of `patch` pixels, as in ViT. Raises StageError for
    another kind or stride, and patches that do not fit."""
    if stride not in (1, 2):
        raise StageError(f"args.vision_stride: {stride!r} is neither 1 nor 2, and 3x3 convolutions would miss pixels")
    if kind == "conv":
        side = (size + stride - 1) // stride
        for _ in widths[1:]:
            side = (side + 1) // 2
        return Eyes(Convolutions(channels, widths, stride), widths[-1], side, width)
    if kind != "patch":
        raise StageError(f"args.vision: {kind!r} is neither conv nor patch")
    if size % patch:
        raise StageError(f"args.patch: {patch} does not divide the image's {size} pixels")
    return Eyes(nn.Conv2d(channels, width, patch, stride=patch), width, size // patch, width)
