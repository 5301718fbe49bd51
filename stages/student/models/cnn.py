"""A small convolutional student: 3x3 convolutions with batch norm, one stage a width, mean over the grid, linear head.

Its outputs are `logits` (B, classes), `embedding` (B, widths[-1]), and `exit.N` (B, classes) of `exits: [N]`, a linear
head on the mean over the grid after stage N.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from torch import Tensor, nn

from ...capture.points import nearest
from ...errors import StageError

_OUTPUTS = ("logits", "embedding")


class Cnn(nn.Module):
    """forward({"pixel_values": (B, channels, H, W)}) -> {"logits": (B, classes), "embedding": (B, widths[-1]), ...}."""

    def __init__(
        self,
        classes: int,
        channels: int,
        widths: Sequence[int],
        separable: bool,
        dropout: float,
        exits: Sequence[int] = (),
    ) -> None:
        super().__init__()
        first = [nn.Conv2d(channels, widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
        stages = [layer for narrow, wide in pairwise(widths) for layer in _stage(narrow, wide, separable)]
        self.features = nn.Sequential(*first, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(widths[-1], classes)
        a_stage = len(_stage(1, 1, separable))
        self._ends = {len(first) + (number - 1) * a_stage: number for number in exits}  # where stage `number` ends
        self.exits = nn.ModuleDict({str(number): nn.Linear(widths[number - 1], classes) for number in exits})

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found, values = {}, inputs["pixel_values"]
        for place, layer in enumerate(self.features, 1):
            values = layer(values)
            if place in self._ends:
                number = self._ends[place]
                found[f"exit.{number}"] = self.exits[str(number)](values.mean(dim=(2, 3)))
        return {"logits": self.classifier(self.dropout(values)), "embedding": values, **found}


def build_cnn(
    classes: int,
    channels: int,
    outputs: frozenset[str],
    widths: Sequence[int] = (8, 16, 32),
    separable: bool = False,
    dropout: float = 0.0,
    exits: Sequence[int] = (),
) -> Cnn:
    """A Cnn whose side halves from each width to the next.

    `separable` splits each of those convolutions into a depthwise and a pointwise one (MobileNet, arXiv 1704.04861).
    Raises StageError for outputs it does not have and for widths that are no positive numbers.
    """
    if not widths or not all(isinstance(width, int) and width > 0 for width in widths):
        raise StageError(f"args.widths of a cnn are positive numbers, one a stage, and not {widths!r}")
    if any(number not in range(1, len(widths)) for number in exits):
        raise StageError(
            f"args.exits: exits of {len(widths)} stages are after 1 to {len(widths) - 1}, not {list(exits)}"
        )
    known = (*_OUTPUTS, *(f"exit.{number}" for number in exits))
    for name in sorted(outputs - set(known)):
        raise StageError(f"a cnn has no output {name!r}{nearest(name, known)}; it has {' and '.join(known)}")
    return Cnn(classes, channels, widths, separable, dropout, exits)


def _stage(narrow: int, wide: int, separable: bool) -> list[nn.Module]:
    """Layers that halve the side and lead from `narrow` to `wide` channels."""
    end = [nn.BatchNorm2d(wide), nn.ReLU()]
    if not separable:
        return [nn.Conv2d(narrow, wide, 3, stride=2, padding=1, bias=False), *end]
    depthwise = nn.Conv2d(narrow, narrow, 3, stride=2, padding=1, groups=narrow, bias=False)
    return [depthwise, nn.BatchNorm2d(narrow), nn.ReLU(), nn.Conv2d(narrow, wide, 1, bias=False), *end]
