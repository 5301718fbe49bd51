"""Scenes as pixels, drawn from the shipped sheet of small icons, without the packages that the sheet came from."""

from pathlib import Path

import numpy as np
from PIL import Image

from ..emoji.art import PACKAGES, STYLES, on_colour, read_style
from .scene import GRID, ICONS, Scene

SIDE, ICON = 64, 12  # pixels of a canvas, and of an icon
_CELL = SIDE // GRID
_COLOURS = 16  # of an icon: enough for 144 pixels, and half the bytes
_BACKGROUNDS = ((255, 255, 255), (236, 242, 250), (250, 244, 232), (238, 246, 236))


def draw_sheet(packages: Path = PACKAGES) -> Image.Image:
    """Each style a row, each icon a column: RGBA, ICON pixels a side."""
    styles = [read_style(name, packages) for name in STYLES]
    rows = [np.concatenate([_fewer_colours(style.draw(icon, ICON)) for icon in ICONS.values()], 1) for style in styles]
    return Image.fromarray(np.concatenate(rows, 0), "RGBA")


def read_sheet(path: Path) -> np.ndarray:
    """What `draw_sheet` drew: uint8 (styles, icons, ICON, ICON, 4), styles and icons in their order."""
    sheet = np.asarray(Image.open(path).convert("RGBA"))
    cut = sheet.reshape(len(STYLES), ICON, len(ICONS), ICON, 4)
    return np.ascontiguousarray(cut.transpose(0, 2, 1, 3, 4))


def paint(scene: Scene, icons: np.ndarray) -> np.ndarray:
    """A scene in one style, icons uint8 (icons, ICON, ICON, 4): uint8 (SIDE, SIDE, 3)."""
    colour = _BACKGROUNDS[scene.background]
    canvas = np.full((SIDE, SIDE, 3), colour, np.uint8)
    for cell, (icon, (x, y)) in enumerate(zip(scene.icons, scene.shifts, strict=True)):
        if icon is not None:
            left = cell % GRID * _CELL + (_CELL - ICON) // 2 + x
            top = cell // GRID * _CELL + (_CELL - ICON) // 2 + y
            canvas[top : top + ICON, left : left + ICON] = on_colour(icons[icon], colour)
    return canvas


def offset(scene: Scene) -> tuple[float, float]:
    """From the centre of the cell to the centre of its icon, in cells."""
    x, y = scene.shifts[scene.cell]
    return x / _CELL, y / _CELL


def _fewer_colours(icon: np.ndarray) -> np.ndarray:
    """An icon with fewer colours and five steps of alpha."""
    flat = Image.fromarray(icon[..., :3]).quantize(_COLOURS, Image.Quantize.MEDIANCUT).convert("RGB")
    alpha = np.rint(icon[..., 3:].astype(np.float64) / 255 * 4) / 4 * 255
    return np.concatenate([np.asarray(flat), np.rint(alpha).astype(np.uint8)], -1)
