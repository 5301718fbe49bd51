"""Patch tokens on another grid: class tokens are dropped, the grid is resampled. Text is never interpolated."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from ...errors import StageError


@dataclass(frozen=True, slots=True)
class PatchGrid:
    """How the tokens of an image lie: `special` tokens first (CLS, registers), then height x width patches by rows."""

    height: int
    width: int
    special: int = 1

    @property
    def tokens(self) -> int:
        return self.special + self.height * self.width


def square_grid(tokens: int, special: int = 1) -> PatchGrid:
    """The grid of a square image of so many tokens. StageError where they make no square: text, or other specials."""
    side = round(max(tokens - special, 0) ** 0.5)
    if side == 0 or side * side != tokens - special:
        raise StageError(
            f"tokens: {tokens} tokens less {special} special ones make no square grid; name the grid, and do not "
            "resample text, whose tokens have no grid"
        )
    return PatchGrid(side, side, special)


def patch_grid(tokens: int) -> PatchGrid:
    """The grid of a square image's tokens, with one class token or none. StageError where neither makes a square."""
    for special in (1, 0):
        side = round(max(tokens - special, 0) ** 0.5)
        if side > 0 and side * side == tokens - special:
            return PatchGrid(side, side, special)
    raise StageError(
        f"tokens: {tokens} tokens make no square grid, with one class token or none; text has no grid, and is not "
        "resampled"
    )


def onto_coarser(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Patch tokens (B, T, d) or feature maps (B, C, h, w) of both sides as tokens (B, cells, d) of the coarser grid.

    Class tokens are dropped. The finer side is resampled, bilinear and antialiased, so that nothing is invented.
    """
    maps = [values if values.ndim == 4 else to_map(values, patch_grid(values.shape[1])) for values in (output, target)]
    size = min(values.shape[2] for values in maps), min(values.shape[3] for values in maps)
    first, second = (_resized(values, size).flatten(2).transpose(1, 2) for values in maps)
    return first, second


def to_map(tokens: Tensor, grid: PatchGrid) -> Tensor:
    """(B, T, d) -> (B, d, height, width), without the special tokens. StageError for another T."""
    if tokens.ndim != 3 or tokens.shape[1] != grid.tokens:
        raise StageError(f"tokens: {tuple(tokens.shape)} is not (B, {grid.tokens}, d), as the grid has them")
    return tokens[:, grid.special :].transpose(1, 2).reshape(len(tokens), -1, grid.height, grid.width)


def resample(tokens: Tensor, source: PatchGrid, wanted: PatchGrid) -> Tensor:
    """(B, T, d) on one grid -> (B, wanted.height * wanted.width, d) on another, bilinear, without special tokens.

    Antialiased where it shrinks, so that no patch is skipped; corners of pixels, not their centres, coincide. Drop the
    special tokens of the other side too (`to_map` or a slice): they have no place on a grid.
    """
    return _resized(to_map(tokens, source), (wanted.height, wanted.width)).flatten(2).transpose(1, 2)


def _resized(values: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(values.shape[-2:]) == size:
        return values
    return functional.interpolate(values, size=size, mode="bilinear", align_corners=False, antialias=True)
