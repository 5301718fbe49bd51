"""Five clients of unlike classes: who has which images, and the small teacher that each trains on its own.

`teacher: {use: teachercache.pipeline.recipes.federated.clients:load_client, args: {folder: ...}, inputs: ...}`
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..classifier_training import Recipe, read_weights, save_weights, train

CLIENTS, CLASSES = 5, 10
SKEW = 0.3  # of the Dirichlet distribution: the smaller, the fewer classes a client knows
SIZES = {"classes": CLASSES, "widths": [16, 32, 64]}
TRAINING = Recipe(steps=200, batch_size=32, learning_rate=3e-3)


class ClientNet(nn.Module):
    """image (B, 1, 28, 28) in [0, 1] -> {logits (B, classes)}."""

    def __init__(self, classes: int, widths: list[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for given, made in zip([1, *widths], widths, strict=False):
            layers += [nn.Conv2d(given, made, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(made), nn.ReLU()]
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": self.classifier(self.features(2 * image - 1))}


def share_out(labels: np.ndarray, seed: int = 0) -> list[np.ndarray]:
    """Which samples each client has: every class is shared out by a draw of its own from a symmetric Dirichlet
    distribution (Hsu et al. 2019, arXiv 1909.06335). labels int64 (n,) -> ascending numbers, a sample in one part."""
    generator = np.random.default_rng(seed)
    parts: list[list[int]] = [[] for _ in range(CLIENTS)]
    for one in range(CLASSES):
        own = generator.permutation(np.flatnonzero(labels == one))
        cuts = np.cumsum(generator.dirichlet([SKEW] * CLIENTS))[:-1] * len(own)
        for part, found in zip(parts, np.split(own, cuts.round().astype(int)), strict=True):
            part.extend(found.tolist())
    return [np.array(sorted(part), np.int64) for part in parts]


def train_client(images: np.ndarray, labels: np.ndarray, folder: Path) -> None:
    """Trains on uint8 images (n, 28, 28) and labels (n,), flipped at random, and writes the weights into `folder`."""
    torch.manual_seed(TRAINING.seed)
    model = ClientNet(**SIZES)  # type: ignore[arg-type]
    pixels = torch.from_numpy(np.array(images)).float().unsqueeze(1) / 255
    train(model, pixels, torch.from_numpy(np.array(labels)), TRAINING, _flipped)
    save_weights(model, SIZES, folder)


def load_client(folder: str) -> nn.Module:
    """A client's teacher, in evaluation mode."""
    return read_weights(ClientNet, Path(folder))


def _flipped(images: Tensor, generator: torch.Generator) -> Tensor:
    turn = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(turn[:, None, None, None], images.flip(-1), images)
