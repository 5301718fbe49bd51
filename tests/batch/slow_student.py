"""A student of one convolution that takes its time: the file that STUDENT_PACE names says how long a step takes."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn


class SlowStudent(nn.Module):
    """logits (B, classes) of pixel_values (B, channels, H, W)."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.Flatten())
        self.out = nn.Linear(4 * 6 * 6, classes)

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        pace = os.environ.get("STUDENT_PACE")
        if pace and self.training:
            time.sleep(float(Path(pace).read_text()))
        return {"logits": self.out(self.features(inputs["pixel_values"]))}
