"""Canonical views -> a classifier's inputs, as its own image processor makes them.

When the processor only rescales and normalises (its size is the view's size), that is done for the whole batch at
once; a test holds this equal to the processor itself.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import StageError


class Preprocessor:
    """Picklable; runs in loader workers on the CPU."""

    def __init__(self, folder: Path, size: int, channels: int) -> None:
        from transformers import AutoImageProcessor

        try:
            self._processor: Any = AutoImageProcessor.from_pretrained(
                folder, use_fast=False, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, ImportError) as error:
            raise StageError(f"teacher.model: the image processor in {folder} cannot be loaded ({error})") from error
        self._channels = channels
        _check_channels(folder, self._processor.to_dict(), channels)
        self._plain = _is_plain(self._processor.to_dict(), size)

    def __call__(self, views: np.ndarray) -> dict[str, torch.Tensor]:
        """uint8 views (B, H, W, C) -> {"pixel_values": float32 (B, C, h, w)}."""
        if self._plain is not None:
            scale, offset = self._plain
            pixels = views.transpose(0, 3, 1, 2) * scale[:, None, None] + offset[:, None, None]
            return {"pixel_values": torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32))}
        return self.slow(views)

    def slow(self, views: np.ndarray) -> dict[str, torch.Tensor]:
        """The same through the processor, image by image."""
        batch = self._processor(list(views), return_tensors="pt", input_data_format="channels_last")
        return {"pixel_values": batch["pixel_values"].to(torch.float32)}


def _check_channels(folder: Path, settings: Mapping[str, Any], channels: int) -> None:
    """Mean and deviation by channel would be spread over channels that they are not of."""
    mean = settings.get("image_mean")
    if settings.get("do_normalize") and isinstance(mean, list | tuple) and len(mean) != channels:
        raise StageError(
            f"teacher.model: the image processor in {folder} normalises images of {len(mean)} "
            f"{'channel' if len(mean) == 1 else 'channels'}, and views.channels is {channels}: set views.channels to "
            f"{len(mean)}, or take the processor that belongs to the model"
        )


def _is_plain(settings: Mapping[str, Any], size: int) -> tuple[np.ndarray, np.ndarray] | None:
    """(scale, offset) per channel, float32, when nothing but rescaling and normalising is left to do; else None."""
    resizes = settings.get("do_resize") and not _is_square(settings.get("size"), size)
    resizes = resizes or (settings.get("do_center_crop") and not _is_square(settings.get("crop_size"), size))
    others = [key for key, value in settings.items() if key.startswith("do_") and value and key not in _UNDERSTOOD]
    if resizes or others:
        return None
    scale = float(settings.get("rescale_factor") or 1.0) if settings.get("do_rescale") else 1.0
    mean, std = (settings["image_mean"], settings["image_std"]) if settings.get("do_normalize") else ([0.0], [1.0])
    deviation = np.asarray(std, np.float64)
    return (scale / deviation).astype(np.float32), (-np.asarray(mean, np.float64) / deviation).astype(np.float32)


def _is_square(target: Any, size: int) -> bool:
    """Whether a size, as processors say it, is the square view's own: to resize or to crop to it changes nothing."""
    target = target or {}
    shorter = target.get("shortest_edge") == size and target.get("longest_edge") is None
    return shorter or (target.get("height"), target.get("width")) == (size, size)


# do_convert_rgb: the view already has the channels that the configuration asks for
_UNDERSTOOD = {"do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb"}
