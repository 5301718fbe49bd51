"""The teacher of sequences: a small transformer over the hours of a window.

`teacher: {use: teachercache.pipeline.recipes.sequence.teacher:load_teacher, inputs: {x: weather}}`
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from ..classifier_training import read_weights

TEACHER = Path("data/samples/weather-transformer")


class Temporal(nn.Module):
    """Points to hear: `states` (B, T, width), the hours after the last layer; `embedding` (B, width), what enters the
    head; `encoder.layers.N`."""

    def __init__(self, features: int, hours: int, width: int = 64, layers: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.enter = nn.Linear(features, width)
        self.place = nn.Parameter(torch.randn(hours, width) * 0.02)
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, 0.1, "gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.states = nn.LayerNorm(width)
        self.classifier = nn.Linear(2 * width, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """x float (B, hours, features) -> logits (B, 2): no rain, rain."""
        states = self.states(self.encoder(self.enter(x) + self.place))
        return {"logits": self.classifier(torch.cat([states.mean(dim=1), states[:, -1]], dim=-1))}


def load_teacher(folder: str = str(TEACHER)) -> nn.Module:
    """The shipped teacher, in evaluation mode."""
    return read_weights(Temporal, Path(folder))
