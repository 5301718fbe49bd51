"""Trains the teacher of `data/samples/emoji-clip`: a small CLIP on the pairs of `data/samples/emoji` and more.

    python -m teachercache.pipeline.recipes.clip_small.train_teacher [--samples DIR] [--output DIR] [--steps N]

Minutes on one core. Beside the shipped pairs it sees art of the same packages that is not shipped. The held-out shards
choose nothing here: they are read once, after training, for the figures in the card. It downloads nothing.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    PreTrainedTokenizerFast,
    get_cosine_schedule_with_warmup,
)

from ..emoji.art import PACKAGES
from ..sample_shards import decoded, read_samples
from ..word_tokenizer import save_tokenizer, word_tokenizer
from .further_art import further_pairs, joined
from .make_samples import SAMPLES, SIDE
from .retrieval import Pairs, measure
from .teacher_card import write_card

TEACHER = Path("data/samples/emoji-clip")
LONGEST = 16  # tokens of a caption, with start and end
STEPS = 2200
_SCALE = 4.6052  # the logarithm of 100, where CLIP stops
_BEGIN, _END = 2, 3  # ids that stand around a text


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the teacher is trained. `turn` in degrees and `shift` in pixels at most; `warmup` is a part of all steps."""

    steps: int = STEPS
    concepts: int = 48  # of a batch, each in two styles
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    warmup: float = 0.1
    clip: float = 1.0
    turn: float = 10.0
    shift: float = 2.5
    seed: int = 0


def make_model(vocabulary: int) -> CLIPModel:
    """The teacher before training: 32 x 32 pictures in 16 patches, both towers of width 128, one space of 128."""
    text = dict(hidden_size=128, intermediate_size=256, num_hidden_layers=3, num_attention_heads=4)
    vision = dict(hidden_size=128, intermediate_size=256, num_hidden_layers=4, num_attention_heads=4)
    return CLIPModel(
        CLIPConfig(
            text_config=dict(
                **text,
                vocab_size=vocabulary,
                max_position_embeddings=LONGEST,
                pad_token_id=0,
                bos_token_id=_BEGIN,
                eos_token_id=_END,
                attention_dropout=0.0,
            ),
            vision_config=dict(**vision, image_size=SIDE, patch_size=8),
            projection_dim=128,
            initializer_factor=1.0,
        )
    )


def read_pairs(folder: Path, split: str) -> Pairs:
    """Every sample of a split: its picture, its captions, and its group where it says one."""
    found = [members for _, members in read_samples(folder, split)]
    images = torch.from_numpy(np.stack([decoded(members["webp"]) for members in found]))
    captions = [json.loads(members["json"]) for members in found]
    groups = torch.tensor([int(members.get("cls", b"-1")) for members in found])
    return Pairs(images, captions, groups)


def make_tokenizer(captions: Sequence[Sequence[str]]) -> PreTrainedTokenizerFast:
    """Of every word in the training captions; words of held-out captions alone are unknown to it."""
    words = Counter(word for texts in captions for text in texts for word in text.split())
    return word_tokenizer(sorted(words), LONGEST, framed=True)


def pixels(images: Tensor) -> Tensor:
    """float32 (n, 3, 32, 32) in [-1, 1] of uint8 (n, 32, 32, 3), as the saved image processor makes them."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def augment(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Each picture turned, moved, made larger or smaller and tinted by its own draw, one in ten grey; white comes in
    from outside: float32 (n, 3, 32, 32) in [-1, 1] of uint8 (n, 32, 32, 3)."""
    n, side = len(images), images.shape[1]
    draws = 2 * torch.rand(n, 8, generator=generator) - 1
    angle, scale = torch.deg2rad(recipe.turn * draws[:, 0]), 1.15 ** draws[:, 1]
    moves = draws[:, 2:4] * (2 * recipe.shift / side)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    turn = torch.stack([torch.stack([cos, -sin, moves[:, 0]], -1), torch.stack([sin, cos, moves[:, 1]], -1)], -2)
    grid = F.affine_grid(turn, [n, 3, side, side], align_corners=False)
    moved = F.grid_sample(pixels(images) - 1, grid, align_corners=False) / 2 + 1  # white is 1, black 0
    grey = draws[:, 7, None, None, None] > 0.8
    tinted = torch.where(grey, moved.mean(dim=1, keepdim=True), moved) ** (1.5 ** draws[:, 4:7, None, None])
    return 2 * tinted.clamp(0, 1) - 1


def train(model: CLIPModel, tokenizer: PreTrainedTokenizerFast, pairs: Pairs, recipe: Recipe) -> float:
    """Trains in place, one caption of each picture a step; returns the seconds of CPU that it took."""
    generator = torch.Generator().manual_seed(recipe.seed)
    texts = [tokenizer(some, padding="max_length", return_tensors="pt")["input_ids"] for some in pairs.captions]
    concepts = rows_of_concepts(pairs)
    optimizer = torch.optim.AdamW(_groups(model, recipe), lr=recipe.learning_rate)
    schedule = get_cosine_schedule_with_warmup(optimizer, int(recipe.warmup * recipe.steps), recipe.steps)
    started = time.process_time()
    model.train()
    for step in range(1, recipe.steps + 1):
        rows = draw_rows(concepts, recipe.concepts, generator)
        chosen = [texts[row][int(torch.randint(len(texts[row]), (1,), generator=generator))] for row in rows.tolist()]
        ids = torch.stack(chosen)
        ids = ids[:, : int((ids != 0).sum(dim=1).max())]
        said = model(
            pixel_values=augment(pairs.images[rows], recipe, generator),
            input_ids=ids,
            attention_mask=(ids != 0).long(),
        )
        names = torch.arange(recipe.concepts).repeat_interleave(2)
        loss = contrast(said.logits_per_image, names[:, None] == names)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        schedule.step()
        model.logit_scale.data.clamp_(max=_SCALE)
        if step % 100 == 0:
            print(f"step {step}: loss {loss:.3f}, {time.process_time() - started:.0f} s", flush=True)
    return time.process_time() - started


def rows_of_concepts(pairs: Pairs) -> list[Tensor]:
    """The rows of each concept that has two pictures at least: those with the same name."""
    rows: dict[str, list[int]] = {}
    for row, texts in enumerate(pairs.captions):
        rows.setdefault(texts[0], []).append(row)
    return [torch.tensor(found) for found in rows.values() if len(found) > 1]


def draw_rows(concepts: list[Tensor], count: int, generator: torch.Generator) -> Tensor:
    """Two pictures, in different styles, of each of `count` concepts: int64 (2 count)."""
    chosen = torch.randperm(len(concepts), generator=generator)[:count].tolist()
    pairs = [concepts[number][torch.randperm(len(concepts[number]), generator=generator)[:2]] for number in chosen]
    return torch.cat(pairs)


def contrast(logits: Tensor, same: Tensor) -> Tensor:
    """CLIP's loss (Radford et al., arXiv:2103.00020) of logits (B, B), images in rows; every text of the `same` (B, B)
    concept is as right as the picture's own."""
    target = same / same.sum(dim=-1, keepdim=True)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def _groups(model: torch.nn.Module, recipe: Recipe) -> list[dict[str, object]]:
    """Weight decay for matrices; none for biases, norms, the scale and the embeddings."""
    decayed = [p for n, p in model.named_parameters() if p.ndim >= 2 and "embedding" not in n]
    kept = {id(p) for p in decayed}
    rest = [p for p in model.parameters() if id(p) not in kept]
    return [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": rest, "weight_decay": 0.0}]


def save(model: CLIPModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Weights in half precision, image processor and tokenizer."""
    model.half().save_pretrained(folder)
    mean = [0.5, 0.5, 0.5]
    processor = CLIPImageProcessorPil(
        size={"height": SIDE, "width": SIDE}, do_center_crop=False, image_mean=mean, image_std=mean
    )
    processor.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)


def run(
    samples: Annotated[Path, typer.Option(help="folder of the shipped samples")] = SAMPLES,
    packages: Annotated[Path, typer.Option(help="folder in which npm installed the art")] = PACKAGES,
    output: Annotated[Path, typer.Option(help="where the teacher is saved")] = TEACHER,
    steps: Annotated[int, typer.Option(min=1)] = STEPS,
    threads: Annotated[int, typer.Option(min=1)] = os.cpu_count() or 1,
) -> None:
    """Trains, saves, measures, and writes the card."""
    torch.set_num_threads(threads)
    recipe = Recipe(steps=steps)
    pairs = joined(read_pairs(samples, "train"), further_pairs(packages))
    tokenizer = make_tokenizer(pairs.captions)
    torch.manual_seed(recipe.seed)
    model = make_model(len(tokenizer))
    seconds = train(model, tokenizer, pairs, recipe)
    save(model, tokenizer, output)
    kept = CLIPModel.from_pretrained(output, dtype=torch.float32).eval()
    splits = ("seen", "unseen-style", "unseen-concepts")
    found = {split: measure(kept, tokenizer, read_pairs(samples, split)) for split in splits}
    write_card(output, recipe, kept, len(pairs.captions), found, seconds, threads)
    print(found, flush=True)


if __name__ == "__main__":
    typer.run(run)
