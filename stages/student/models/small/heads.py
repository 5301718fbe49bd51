"""The heads of a multimodal student. One of them may be a pointer, through which the others read the image.

A pointer scores the cells of a grid on the image: its softmax is where the action goes, and the image's tokens weighted
by it are what the other heads read. So an answer is about what is pointed at, and every answer teaches the pointer.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from ....errors import StageError


class Pointer(nn.Module):
    """(B, width) of the text and (B, n, width) of the image -> scores of `cells` cells (B, cells), what each cell holds
    (B, cells, width). Cells are numbered row by row."""

    def __init__(self, width: int, cells: int, side: int) -> None:
        super().__init__()
        self._cells, self._side = math.isqrt(cells), side
        if self._cells**2 != cells or side % self._cells:
            raise StageError(
                f"args.heads: a pointer at {cells} cells needs a square grid that divides the {side} x {side} tokens "
                "of the image: choose other vision_widths, patch or input.size"
            )
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, text: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        grid = image.transpose(1, 2).unflatten(2, (self._side, self._side))
        cells = adaptive_avg_pool2d(grid, self._cells).flatten(2).transpose(1, 2)
        scores = (self.key(cells) @ self.query(text)[:, :, None]).squeeze(2) * text.shape[-1] ** -0.5
        return scores, cells


class Heads(nn.Module):
    """{output: (B, its width)} of the text (B, width) and the image (B, n, width)."""

    def __init__(self, width: int, sizes: Mapping[str, int], pointer: str | None, side: int) -> None:
        super().__init__()
        self._name = pointer
        self.pointer = Pointer(width, sizes[pointer], side) if pointer is not None else None
        others = {name: size for name, size in sizes.items() if name != pointer}
        self.others = nn.ModuleDict({name: _head(2 * width, width, size) for name, size in others.items()})

    def forward(self, text: Tensor, image: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        read = image.mean(dim=1)
        if self.pointer is not None and self._name is not None:
            found[self._name], cells = self.pointer(text, image)
            read = (found[self._name].softmax(dim=1)[:, None] @ cells).squeeze(1)
        both = torch.cat([read, text], dim=-1)
        return found | {name: head(both) for name, head in self.others.items()}


class Exit(nn.Module):
    """The first head once more, after an earlier layer: (B, width), (B, n, width) -> (B, its width)."""

    def __init__(self, width: int, name: str, size: int, pointer: bool, side: int) -> None:
        super().__init__()
        self._name = name
        self.heads = Heads(width, {name: size}, name if pointer else None, side)

    def forward(self, text: Tensor, image: Tensor) -> Tensor:
        found: Tensor = self.heads(text, image)[self._name]
        return found


def _head(width: int, inside: int, size: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, inside), nn.GELU(), nn.Linear(inside, size))
