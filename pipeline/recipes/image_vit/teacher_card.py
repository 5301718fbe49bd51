"""The model card of the sample teacher."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

_CARD = """# A small ViT for Fashion-MNIST, the teacher of the demo

| | |
|---|---|
| Architecture | `ViTForImageClassification`: 28x28 grey images, 16 patches of 7x7, 6 layers of width 96, 3 heads |
| Parameters | {parameters:,} |
| Trained on | the 60,000 training images of Fashion-MNIST (MIT licence, Zalando SE), from random weights |
| Accuracy | {whole:.2f} % on the 10,000 t10k images, {shipped:.2f} % on the shipped test shards |
| Training | {settings}; random flips and shifts; {seconds:.0f} s on {threads} thread(s) of a shared x86-64 machine |
| Licence | Apache-2.0, as the rest of this repository |
| Files | `config.json`, `model.safetensors`, `preprocessor_config.json` |

No t10k image went into training, and none chose when to stop. An earlier recipe was measured on them too (84.32 %: 4x4
patches, slower to learn) before this one took its place. Made by `make sample-teacher`; the same seed gives the same
kind of teacher, not the same bytes, on another machine.

Its training set holds the demo's unlabelled images with their labels. That is the setting it stands for: somebody who
had all labels trained a teacher, and whoever makes the student has the teacher, many images and few labels.
"""


def write_card(
    folder: Path, recipe: Any, parameters: int, whole: float, shipped: float, seconds: float, threads: int
) -> None:
    """Write CARD.md beside the weights; accuracies in percent, time in seconds."""
    settings = ", ".join(f"{name} {value}" for name, value in asdict(recipe).items())
    text = _CARD.format(
        parameters=parameters, whole=whole, shipped=shipped, settings=settings, seconds=seconds, threads=threads
    )
    (folder / "CARD.md").write_text(text, encoding="utf-8")
