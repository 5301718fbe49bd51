"""Canonical uint8 views as normalised floats."""

import torch
from torch import Tensor
from torch.nn import functional

from ...errors import StageError
from .spec import InputSpec


def prepare_views(views: Tensor, spec: InputSpec) -> Tensor:
    """Views uint8 (B, H, W, C) -> pixel_values float32 (B, C, size, size) on the same device, in one go.

    Resized bilinearly with antialias where `size` asks for it, then (x / 255 - mean) / std. Raises StageError when mean
    or std have neither one value nor one per channel.
    """
    channels = views.shape[-1]
    mean, std = (_per_channel(getattr(spec, name), channels, name, views.device) for name in ("mean", "std"))
    pixels = views.permute(0, 3, 1, 2).float()
    if spec.size is not None and pixels.shape[-2:] != (spec.size, spec.size):
        side = (spec.size, spec.size)
        pixels = functional.interpolate(pixels, side, mode="bilinear", antialias=True, align_corners=False)
    return ((pixels / 255 - mean) / std).contiguous()


def _per_channel(values: tuple[float, ...], channels: int, name: str, device: torch.device) -> Tensor:
    if len(values) not in (1, channels):
        raise StageError(f"input.{name} has {len(values)} values; give one, or one for each of the {channels} channels")
    return torch.tensor(values, device=device).view(1, -1, 1, 1)
