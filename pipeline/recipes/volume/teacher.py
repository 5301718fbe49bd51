"""The teacher of volumes: a small 3D convolutional network.

`teacher: {use: teachercache.pipeline.recipes.volume.teacher:load_teacher, inputs: {volume: volume}}`
"""

from pathlib import Path

from torch import Tensor, nn

from ..classifier_training import read_weights

TEACHER = Path("data/samples/garments-3d-cnn")


class Volumetric(nn.Module):
    """Points to hear: `stages.N`, feature maps (B, channels, depth, height, width) of 8, 4 and 2 voxels a side;
    `embedded` (B, channels), what enters the head."""

    def __init__(self, classes: int, channels: tuple[int, int, int] = (16, 32, 64), levels: int = 8) -> None:
        super().__init__()
        self.levels, (a, b, c) = levels, channels
        self.stages = nn.Sequential(_stage(1, a), _stage(a, b), _stage(b, c))
        self.embedded = nn.Sequential(nn.Flatten(), nn.Linear(8 * c, 128), nn.GELU())
        self.dropout, self.classifier = nn.Dropout(0.3), nn.Linear(128, classes)

    def forward(self, volume: Tensor) -> dict[str, Tensor]:
        """volume (B, 16, 16, 16), whole numbers below `levels` -> logits (B, classes)."""
        x = volume.to(self.classifier.weight.dtype)[:, None] / (self.levels - 1)
        return {"logits": self.classifier(self.dropout(self.embedded(self.stages(x))))}


def load_teacher(folder: str = str(TEACHER)) -> nn.Module:
    """The shipped teacher, in evaluation mode."""
    return read_weights(Volumetric, Path(folder))


def _stage(given: int, made: int) -> nn.Sequential:
    """Half the side."""
    return nn.Sequential(
        nn.Conv3d(given, made, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm3d(made),
        nn.GELU(),
        nn.Conv3d(made, made, 3, padding=1, bias=False),
        nn.BatchNorm3d(made),
        nn.GELU(),
    )
