"""Augmentation of a student's own, on top of the cached views: views that no teacher has seen.

Drawn from (row, step) alone, so that a run which continues, and every student that asks for the same, sees the same. It
runs on the CPU, a view at a time, and refuses nothing: whether a student may have it is a matter of its settings.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ....data import ViewPolicy, ViewsSpec
from ....data.spec import PixelOperationSpec


def unseen_views(views: Tensor, rows: np.ndarray, step: int, operations: Sequence[PixelOperationSpec]) -> Tensor:
    """Views uint8 (B, H, H, C) of the rows (B,) of a cache, augmented anew for this step: the same shape and device."""
    channels = 1 if views.shape[-1] == 1 else 3
    spec = ViewsSpec(count=1, size=views.shape[1], channels=channels, operations=tuple(operations))
    policy = ViewPolicy(spec, first=1)
    drawn = policy.draw([f"{row}/{step}" for row in rows.tolist()])
    found = [policy.replay(view, one) for view, one in zip(views.cpu().numpy(), drawn, strict=True)]
    return torch.from_numpy(np.stack(found)).to(views.device)
