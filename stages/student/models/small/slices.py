"""A 2D student of a 3D teacher: one small CNN looks at every slice of a volume, and what it says is pooled.

Outputs: a tensor (B, width) for each head (`logits` by default), `embedding` (B, widths[-1]), and `slices`
(B, D, widths[-1]), what is said of each slice, 0 for padded ones.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ....errors import StageError
from ...inputs.shape import InputShape
from .convolutions import Convolutions
from .given import as_numbers, check_names, check_stride, head_sizes, mean_real, one_input, real_places, refuse_others

_WHO = "slices"


class Slices(nn.Module):
    """forward({volume: (B, D, H, W) or (B, C, D, H, W), its lengths}) -> the outputs above."""

    def __init__(self, volume: str, cnn: nn.Module, heads: nn.ModuleDict, pool: str) -> None:
        super().__init__()
        self._volume, self._pool = volume, pool
        self.cnn, self.heads = cnn, heads

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        volume = as_numbers(inputs[self._volume])
        slices = volume.unsqueeze(2) if volume.ndim == 4 else volume.transpose(1, 2)  # (B, D, C, H, W)
        said = self.cnn(slices.flatten(0, 1)).mean(dim=(2, 3)).unflatten(0, slices.shape[:2])
        real = self._real(inputs, volume)
        said = said.masked_fill(~real[:, :, None], 0.0)
        embedding = mean_real(said, real) if self._pool == "mean" else _largest(said, real)
        answers = {name: head(embedding) for name, head in self.heads.items()}
        return {**answers, "embedding": embedding, "slices": said}

    def _real(self, inputs: Mapping[str, Tensor], volume: Tensor) -> Tensor:
        if volume.ndim == 4:
            return real_places(inputs, self._volume)
        return torch.ones(len(volume), volume.shape[2], dtype=torch.bool, device=volume.device)


def build_slices(
    inputs: Mapping[str, InputShape],
    classes: int,
    outputs: frozenset[str],
    widths: Sequence[int] = (8, 16, 32),
    pool: str = "mean",
    heads: Mapping[str, int] | None = None,
    stride: int = 1,
) -> Slices:
    """`widths` of the convolutions, the first of which strides `stride` pixels (1 or 2); `pool` mean or max over
    slices, `heads` {output: width}. Raises StageError unless it is given one array of three axes a row, or of four with
    channels first (which cannot be padded), and for another stride."""
    volume = one_input(inputs, ("array",), _WHO)
    refuse_others(inputs, (volume,), _WHO)
    shape, sizes = inputs[volume].shape, head_sizes(heads, classes, _WHO)
    if len(shape) not in (3, 4) or (len(shape) == 4 and None in shape):
        raise StageError(f"inputs.{volume}: slices are of (D, H, W) or (C, D, H, W), and a row is {shape}")
    if pool not in ("mean", "max"):
        raise StageError(f"args.pool: {pool!r} is neither mean nor max")
    check_stride(stride)
    check_names(outputs, (*sizes, "embedding", "slices"), _WHO)
    channels = 1 if len(shape) == 3 else int(shape[0] or 1)
    linear = {name: nn.Linear(widths[-1], size) for name, size in sizes.items()}
    return Slices(volume, Convolutions(channels, widths, stride), nn.ModuleDict(linear), pool)


def _largest(said: Tensor, real: Tensor) -> Tensor:
    return said.masked_fill(~real[:, :, None], torch.finfo(said.dtype).min).amax(dim=1)
