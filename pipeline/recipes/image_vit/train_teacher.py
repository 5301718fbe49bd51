"""Trains the teacher of `data/samples/fashion-mnist-vit`: a small ViT on the 60,000 training images of Fashion-MNIST.

    python -m teachercache.pipeline.recipes.image_vit.train_teacher [--package DIR] [--output DIR] [--epochs N]

About ten minutes on 2 quiet cores. The t10k images choose nothing here: they are read once, after training, for the
accuracy in the card. It downloads nothing and writes no checkpoint; stopped half way it starts again.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil, get_cosine_schedule_with_warmup

from .make_samples import CLASSES, PACKAGE, SAMPLES, read_shards, read_split
from .teacher_card import write_card

TEACHER = Path("data/samples/fashion-mnist-vit")
EPOCHS = 12


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the teacher is trained. `shift` in pixels, `warmup` as a part of all steps."""

    epochs: int = EPOCHS
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: float = 0.05
    clip: float = 1.0
    shift: int = 2
    seed: int = 0


def make_model() -> ViTForImageClassification:
    """The teacher before training: 28x28 grey images, 16 patches of 7x7, 6 layers of width 96, 3 heads."""
    return ViTForImageClassification(
        ViTConfig(
            hidden_size=96,
            num_hidden_layers=6,
            num_attention_heads=3,
            intermediate_size=192,
            image_size=28,
            patch_size=7,
            num_channels=1,
            initializer_range=0.1,
            id2label=dict(enumerate(CLASSES)),
            label2id={name: number for number, name in enumerate(CLASSES)},
        )
    )


def pixels(images: Tensor) -> Tensor:
    """The model's input, float32 (n, 1, 28, 28) in [-1, 1], of uint8 images (n, 28, 28)."""
    return images.float().unsqueeze(1) / 127.5 - 1


def augment(images: Tensor, shift: int, generator: torch.Generator) -> Tensor:
    """Flips and shifts each uint8 image (n, 28, 28) by its own draw: float32 (n, 1, 28, 28) in [-1, 1].

    What comes in from outside is black, as the background of the data is.
    """
    n, side = images.shape[0], images.shape[-1]
    flip = torch.rand(n, generator=generator) < 0.5
    turned = torch.where(flip[:, None, None, None], pixels(images).flip(-1), pixels(images))
    padded = F.pad(turned, (shift, shift, shift, shift), value=-1.0)
    x, y = (torch.randint(0, 2 * shift + 1, (n, 1), generator=generator) + torch.arange(side) for _ in range(2))
    return padded[torch.arange(n)[:, None, None], 0, y[:, :, None], x[:, None, :]].unsqueeze(1)


def train(model: ViTForImageClassification, images: Tensor, labels: Tensor, recipe: Recipe) -> float:
    """Trains `model` in place on uint8 images (n, 28, 28) and int64 labels (n,); returns the seconds it took."""
    generator = torch.Generator().manual_seed(recipe.seed)
    optimizer = torch.optim.AdamW(_groups(model, recipe), lr=recipe.learning_rate, fused=True)
    steps = recipe.epochs * (len(images) // recipe.batch_size)
    schedule = get_cosine_schedule_with_warmup(optimizer, int(recipe.warmup * steps), steps)
    started = time.perf_counter()
    model.train()
    for epoch in range(1, recipe.epochs + 1):
        order = torch.randperm(len(images), generator=generator)
        hits = 0
        for rows in order[: len(order) - len(order) % recipe.batch_size].split(recipe.batch_size):
            logits = model(pixel_values=augment(images[rows], recipe.shift, generator)).logits
            optimizer.zero_grad()
            F.cross_entropy(logits, labels[rows]).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            optimizer.step()
            schedule.step()
            hits += int((logits.argmax(-1) == labels[rows]).sum())
        seconds = time.perf_counter() - started
        print(
            f"epoch {epoch} of {recipe.epochs}: training accuracy {hits / len(order):.3f}, {seconds:.0f} s", flush=True
        )
    return time.perf_counter() - started


def _groups(model: torch.nn.Module, recipe: Recipe) -> list[dict[str, object]]:
    """Weight decay for matrices; none for biases, norms, the class token and the position embeddings."""
    decayed = [p for n, p in model.named_parameters() if p.ndim >= 2 and "token" not in n and "position" not in n]
    kept = {id(p) for p in decayed}
    rest = [p for p in model.parameters() if id(p) not in kept]
    return [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": rest, "weight_decay": 0.0}]


@torch.inference_mode()
def accuracy(model: ViTForImageClassification, images: np.ndarray, labels: np.ndarray) -> float:
    """Top-1 in percent on uint8 images (n, 28, 28) and int64 labels (n,)."""
    model.eval()
    batches = torch.from_numpy(np.array(images)).split(500)
    guesses = [model(pixel_values=pixels(batch)).logits.argmax(-1) for batch in batches]
    return 100 * float((torch.cat(guesses).numpy() == labels).mean())


def run(
    package: Annotated[Path, typer.Option(help="folder of the idx files")] = PACKAGE,
    output: Annotated[Path, typer.Option(help="where the teacher is saved")] = TEACHER,
    epochs: Annotated[int, typer.Option(min=1)] = EPOCHS,
    threads: Annotated[int, typer.Option(min=1)] = os.cpu_count() or 1,
) -> None:
    """Trains, saves, measures, and writes the card."""
    torch.set_num_threads(threads)
    recipe = Recipe(epochs=epochs)
    images, labels = (torch.from_numpy(part.copy()) for part in read_split(package, "train"))
    torch.manual_seed(recipe.seed)
    model = make_model()
    seconds = train(model, images, labels, recipe)
    save(model, output, package, recipe, seconds, threads)


def save(
    model: ViTForImageClassification, output: Path, package: Path, recipe: Recipe, seconds: float, threads: int
) -> None:
    """Writes model, image processor and card, with the accuracies measured here."""
    model.save_pretrained(output)
    processor = ViTImageProcessorPil(size={"height": 28, "width": 28}, image_mean=[0.5], image_std=[0.5])
    processor.save_pretrained(output)
    whole = accuracy(model, *read_split(package, "t10k"))
    shipped = accuracy(model, *read_shards(SAMPLES, "test")[1:])
    parameters = sum(p.numel() for p in model.parameters())
    write_card(output, recipe, parameters, whole, shipped, seconds, threads)
    print(f"accuracy on the 10,000 t10k images {whole:.2f} %, on the shipped test shards {shipped:.2f} %", flush=True)


if __name__ == "__main__":
    typer.run(run)
