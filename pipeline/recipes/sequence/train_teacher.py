"""Trains the teacher of `data/samples/weather-transformer` on every training window of the package.

    python -m teachercache.pipeline.recipes.sequence.train_teacher [--package DIR] [--output DIR] [--steps N]

A few minutes on one core. It has heard the label of windows that are shipped without one; the test weeks are read once,
after training, for the figures in the card. It downloads nothing.
"""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from ..classifier_training import Recipe, all_logits, save_weights, train
from .make_samples import FEATURES, HOURS, PACKAGE, Window, read_windows, shipped
from .teacher import TEACHER, Temporal, load_teacher

STEPS = 400  # of 100, 200, 400 and 800 the best on every fourth training week, which were then left out
_CARD = """# A small transformer for weather, the teacher of the recipe `sequence`

| | |
|---|---|
| Architecture | `teachercache.pipeline.recipes.sequence.teacher:load_teacher`: two layers of width 64 over 24 hours |
| Parameters | {parameters:,} |
| Trained on | {own:,} windows of the training weeks, those shipped without a label among them, from random weights |
| AUC | {auc:.2f} % on the shipped test shard; {whole:.2f} % on all {tests:,} windows of the test weeks |
| Accuracy | {right:.2f} % on the shipped test shard, where "no rain" always would be right for {dry:.2f} % |
| Training | {settings}; {seconds:.0f} s of CPU on {threads} thread(s) of a shared x86-64 machine |
| Licence | Apache-2.0, as the rest of this repository |
| Files | `config.json`, `model.safetensors` (float16; computed in float32) |

No test window went into training. How long to train was chosen with every fourth training week left out: longer and it
learns the weeks by heart. Made by `make sample-teacher RECIPE=sequence`.
"""


def tensors(windows: list[Window]) -> tuple[Tensor, Tensor]:
    """Values float32 (n, hours, features) and labels int64 (n,)."""
    values = torch.from_numpy(np.stack([window.values for window in windows])).float()
    return values, torch.tensor([window.rain for window in windows])


def jitter(x: Tensor, generator: torch.Generator) -> Tensor:
    """A little noise on every number, and one offset a feature for the whole window."""
    whole = torch.randn(len(x), 1, x.shape[2], generator=generator)
    return x + 0.05 * torch.randn(x.shape, generator=generator) + 0.15 * whole


def run(
    package: Annotated[Path, typer.Option(help="folder of the unpacked package")] = PACKAGE,
    output: Annotated[Path, typer.Option(help="where the teacher is saved")] = TEACHER,
    steps: Annotated[int, typer.Option(min=1)] = STEPS,
    threads: Annotated[int, typer.Option(min=1)] = os.cpu_count() or 1,
) -> None:
    """Trains, saves, measures, and writes the card."""
    torch.set_num_threads(threads)
    windows = read_windows(package)
    own, tests = [w for w in windows if not w.test], [w for w in windows if w.test]
    sizes = {"features": len(FEATURES), "hours": HOURS}
    recipe = Recipe(steps=steps, learning_rate=1e-3)
    torch.manual_seed(recipe.seed)
    model = Temporal(**sizes)
    seconds = train(model, *tensors(own), recipe, jitter)
    save_weights(model, sizes, output)
    kept, (values, rain) = load_teacher(str(output)), tensors(shipped(windows)[2])
    said, (every, wet) = all_logits(kept, values), tensors(tests)
    text = _CARD.format(
        parameters=sum(p.numel() for p in model.parameters()),
        own=len(own),
        tests=len(tests),
        auc=100 * float(binary_auroc(said[:, 1] - said[:, 0], rain)),
        whole=100 * float(binary_auroc(all_logits(kept, every).diff(dim=1)[:, 0], wet)),
        right=100 * float((said.argmax(-1) == rain).float().mean()),
        dry=100 * float((rain == 0).float().mean()),
        settings=", ".join(f"{name} {value}" for name, value in asdict(recipe).items()),
        seconds=seconds,
        threads=threads,
    )
    (output / "README.md").write_text(text, encoding="utf-8")
    print(text, flush=True)


if __name__ == "__main__":
    typer.run(run)
