"""Makes the sample shards of `data/samples/agent`: canvases with instructions.

    python -m teachercache.pipeline.recipes.agent.make_samples [--packages DIR] [--output DIR]

The same canvases at each run. The sheet of icons is drawn from npm packages (the module `emoji.art` says which), and
kept beside the shards; with the sheet alone, `--sheet data/samples/agent/icons.png`, all canvases are made again. It
downloads nothing and writes no card.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..emoji.art import PACKAGES, SEEN, STYLES, UNSEEN
from ..emoji.drawing_lots import draw
from ..sample_shards import lossless, write_shards
from ..word_tokenizer import save_tokenizer, word_tokenizer
from .canvas import draw_sheet, paint, read_sheet
from .examples import TOKENS, labels_of
from .scene import KINDS, WORDS, make_scene

SAMPLES = Path("data/samples/agent")
SHEET = "icons.png"
_TRAIN, _TRAIN_SHARDS, _HELD_OUT = 1500, 5, 360


def make_samples(
    packages: Annotated[Path, typer.Option(help="folder in which npm installed the art")] = PACKAGES,
    sheet: Annotated[Path | None, typer.Option(help="a sheet that was drawn before, instead of the packages")] = None,
    output: Annotated[Path, typer.Option(help="folder of the shards")] = SAMPLES,
) -> None:
    """Writes train-*.tar, seen-*.tar and unseen-*.tar, the sheet of icons and the tokenizer."""
    icons = read_sheet(sheet) if sheet else _draw(packages, output / SHEET)
    seen = [list(STYLES).index(name) for name in SEEN]
    unseen = list(STYLES).index(UNSEEN)
    train = [(n, seen[draw(len(seen), "agent", "train", n, "style")]) for n in range(_TRAIN)]
    known = [(n, seen[draw(len(seen), "agent", "held-out", n, "style")]) for n in range(_HELD_OUT)]
    size = write_shards(output, "train", [_sample("train", "train", n, s, icons) for n, s in train], _TRAIN_SHARDS)
    size += write_shards(output, "seen", [_sample("seen", "held-out", n, s, icons) for n, s in known], 1)
    strange = [_sample("unseen", "held-out", n, unseen, icons) for n in range(_HELD_OUT)]
    size += write_shards(output, "unseen", strange, 1)
    save_tokenizer(word_tokenizer(WORDS, TOKENS), output / "tokenizer")
    print(f"{output}: {_TRAIN} canvases to learn from, {_HELD_OUT} and {_HELD_OUT} held out; {size:,} bytes")


def _draw(packages: Path, path: Path) -> np.ndarray:
    sheet = draw_sheet(packages)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)
    return read_sheet(path)


def _sample(split: str, lot: str, number: int, style: int, icons: np.ndarray) -> dict[str, Any]:
    scene = make_scene(lot, number)
    labels = {**labels_of(scene, KINDS), "style": style}
    return {
        "__key__": f"{split}-{number:05d}",
        "webp": lossless(paint(scene, icons[style])),
        "txt": scene.instruction.encode(),
        "json": json.dumps(labels, separators=(",", ":")).encode(),
    }


if __name__ == "__main__":
    typer.run(make_samples)
