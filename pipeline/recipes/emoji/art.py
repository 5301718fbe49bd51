"""Emoji art of four freely licensed styles, drawn at small sizes from Iconify's npm packages.

    npm install --prefix runs/art @iconify-json/noto@1.2.9 @iconify-json/twemoji@1.2.5 \\
        @iconify-json/fluent-emoji-flat@1.2.6 @iconify-json/emojione@1.2.3 cldr-annotations-full@48.2.0 \\
        @iconify-json/noto-v1@1.2.5 @iconify-json/fluent-emoji@1.2.7
    pip install 'teachercache[art]'

It downloads nothing itself, and refuses packages of another version, because icons change between versions.
"""

import io
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PACKAGES = Path("runs/art")
VERSIONS = {
    "@iconify-json/noto": "1.2.9",
    "@iconify-json/twemoji": "1.2.5",
    "@iconify-json/fluent-emoji-flat": "1.2.6",
    "@iconify-json/emojione": "1.2.3",
    "cldr-annotations-full": "48.2.0",
    "@iconify-json/noto-v1": "1.2.5",
    "@iconify-json/fluent-emoji": "1.2.7",
}
STYLES = {"noto": "noto", "twemoji": "twemoji", "fluent": "fluent-emoji-flat", "emojione": "emojione"}
# Shown to a teacher alone: an older Noto, and Fluent with shades.
FURTHER_STYLES = {"noto-v1": "noto-v1", "fluent-shaded": "fluent-emoji"}
SEEN, UNSEEN = ("noto", "twemoji", "fluent"), "emojione"
_OVERSAMPLED = 4  # drawn this much larger and averaged: small details stay soft and even


@dataclass(frozen=True)
class Style:
    """The icons of one style, found by the name that the package gives them, such as `red-apple`."""

    name: str
    icons: dict[str, Any]

    @cached_property
    def names(self) -> frozenset[str]:
        """Every icon, and every other name of one that is drawn alike."""
        return frozenset(self.icons["icons"]) | frozenset(self._aliases)

    @cached_property
    def _aliases(self) -> dict[str, str]:
        """Other names; those that turn or mirror the art are left out."""
        return {name: alias["parent"] for name, alias in self.icons.get("aliases", {}).items() if len(alias) == 1}

    def art(self, icon: str) -> str:
        """The name under which the art of `icon` is kept; two names of one drawing give the same."""
        while icon in self._aliases:
            icon = self._aliases[icon]
        return icon

    def draw(self, icon: str, side: int) -> np.ndarray:
        """The icon on nothing: uint8 (side, side, 4), straight alpha. Raises SystemExit for an icon it lacks."""
        if icon not in self.names:
            raise SystemExit(f"style {self.name} has no icon {icon!r}")
        found = self.icons["icons"][self.art(icon)]
        width, height = (found.get(key, self.icons.get(key, 16)) for key in ("width", "height"))
        left, top = (found.get(key, 0) for key in ("left", "top"))
        large = side * _OVERSAMPLED
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{large}" '
            f'height="{large}" viewBox="{left} {top} {width} {height}">{found["body"]}</svg>'
        )
        drawn = Image.open(io.BytesIO(_png(svg))).convert("RGBa")  # averages colours by their alpha
        return np.asarray(drawn.resize((side, side), Image.Resampling.BOX).convert("RGBA"))


def read_style(name: str, packages: Path = PACKAGES) -> Style:
    """One of STYLES or FURTHER_STYLES. Exits with what to install when its package is missing."""
    folder = package_folder(f"@iconify-json/{(STYLES | FURTHER_STYLES)[name]}", packages)
    return Style(name, json.loads((folder / "icons.json").read_text(encoding="utf-8")))


def package_folder(package: str, packages: Path) -> Path:
    """Where npm has put a package. Exits with the command when it is not there, or is another version."""
    folder = packages / "node_modules" / package
    wanted = VERSIONS[package]
    install = f"npm install --prefix {packages} {' '.join(f'{name}@{version}' for name, version in VERSIONS.items())}"
    if not (folder / "package.json").is_file():
        raise SystemExit(f"{folder} is missing. Run: {install}")
    found = json.loads((folder / "package.json").read_text(encoding="utf-8"))["version"]
    if found != wanted:
        raise SystemExit(f"{folder} is version {found}, and {wanted} is wanted. Run: {install}")
    return folder


def on_colour(icon: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """An icon, uint8 (side, side, 4), on a plain colour: uint8 (side, side, 3)."""
    alpha = icon[..., 3:].astype(np.float64) / 255
    mixed: np.ndarray = np.rint(icon[..., :3] * alpha + np.array(colour) * (1 - alpha)).astype(np.uint8)
    return mixed


def _png(svg: str) -> bytes:
    try:
        from resvg_py import svg_to_bytes
    except ImportError as error:
        raise SystemExit("drawing the art needs resvg-py: pip install 'teachercache[art]'") from error
    return bytes(svg_to_bytes(svg_string=svg))
