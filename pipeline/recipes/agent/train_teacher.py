"""Trains the teacher of `data/samples/agent-teacher` on canvases of its own, which are not shipped.

    python -m teachercache.pipeline.recipes.agent.train_teacher [--samples DIR] [--output DIR] [--steps N]

Minutes on one core. Its scenes are drawn from other lots than the shipped ones, in the seen styles alone; beside the
answers it is told what lies in every cell. It downloads nothing.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
import typer
from torch import Tensor
from transformers import get_cosine_schedule_with_warmup

from ..emoji.art import SEEN, STYLES
from ..emoji.drawing_lots import draw
from .canvas import read_sheet
from .examples import TOKENS, Examples, as_examples, labels_of, paint_all, read_examples
from .make_samples import SAMPLES, SHEET
from .scene import ANSWERS, KINDS, WORDS, make_scene
from .teacher import TEACHER, Agent, AgentShape, agent_loss, load_agent, save_agent
from .teacher_card import write_card

STEPS = 1800
BOUND = 1.25 / 16  # a click is right within 1.25 pixels of the icon's centre, in cells
_SEEN = [list(STYLES).index(name) for name in SEEN]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the teacher is trained. `scenes` are gone through again and again; `warmup` is a part of all steps."""

    steps: int = STEPS
    scenes: int = 24_000
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    clip: float = 1.0
    seed: int = 0


def pixels(images: Tensor) -> Tensor:
    """float32 (n, 3, 64, 64) in [0, 1] of uint8 (n, 64, 64, 3)."""
    return images.permute(0, 3, 1, 2).float() / 255


def make_examples(sheet: Path, count: int) -> tuple[Examples, Tensor]:
    """Scenes of the teacher's own lot in the seen styles, and the icon in each cell: int64 (n, cells), -1 for none."""
    scenes = [make_scene("teacher", number) for number in range(count)]
    styles = [_SEEN[draw(len(_SEEN), "agent", "teacher", number, "style")] for number in range(count)]
    images = paint_all(scenes, styles, read_sheet(sheet))
    icons = torch.tensor([[-1 if icon is None else icon for icon in scene.icons] for scene in scenes])
    return as_examples(images, [labels_of(scene, KINDS) for scene in scenes]), icons


def train(agent: Agent, examples: Examples, icons: Tensor, recipe: Recipe) -> float:
    """Trains in place; returns the seconds it took."""
    generator = torch.Generator().manual_seed(recipe.seed)
    optimizer = torch.optim.AdamW(agent.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = get_cosine_schedule_with_warmup(optimizer, int(recipe.warmup * recipe.steps), recipe.steps)
    started = time.perf_counter()
    agent.train()
    for step in range(1, recipe.steps + 1):
        rows = torch.randint(len(examples.cell), (recipe.batch_size,), generator=generator)
        batch = examples.take(rows)
        said = agent(pixels(batch.images), batch.tokens)
        loss = agent_loss(said, batch.cell, batch.offset, batch.answer)
        loss = loss + F.cross_entropy(said["things"].flatten(0, 1), icons[rows].flatten(), ignore_index=-1)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(agent.parameters(), recipe.clip)
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            hits = float((said["cell"].argmax(-1) == batch.cell).float().mean())
            print(f"step {step}: loss {loss:.3f}, cells {hits:.2f}, {time.perf_counter() - started:.0f} s", flush=True)
    return time.perf_counter() - started


@torch.inference_mode()
def measure(agent: Agent, examples: Examples) -> dict[str, float]:
    """In percent: cells right, actions right (cell, and click within BOUND on both axes), answers right."""
    agent.eval()
    said = agent(pixels(examples.images), examples.tokens)
    cell = said["cell"].argmax(-1) == examples.cell
    click = ((said["offset"] - examples.offset).abs() <= BOUND).all(dim=-1)
    answer = said["answer"].argmax(-1) == examples.answer
    found = {"cell": cell, "action": cell & click, "answer": answer}
    return {name: 100 * float(right.float().mean()) for name, right in found.items()}


def run(
    samples: Annotated[Path, typer.Option(help="folder of the shipped samples")] = SAMPLES,
    output: Annotated[Path, typer.Option(help="where the teacher is saved")] = TEACHER,
    steps: Annotated[int, typer.Option(min=1)] = STEPS,
    threads: Annotated[int, typer.Option(min=1)] = os.cpu_count() or 1,
) -> None:
    """Trains, saves, measures, and writes the card."""
    torch.set_num_threads(threads)
    recipe = Recipe(steps=steps)
    examples, icons = make_examples(samples / SHEET, recipe.scenes)
    torch.manual_seed(recipe.seed)
    agent = Agent(AgentShape(vocabulary=len(WORDS) + 2, answers=len(ANSWERS), tokens=TOKENS))
    seconds = train(agent, examples, icons, recipe)
    save_agent(agent, output)
    kept = load_agent(str(output))
    found = {split: measure(kept, read_examples(samples, split)) for split in ("train", "seen", "unseen")}
    write_card(output, recipe, agent.shape, sum(p.numel() for p in agent.parameters()), found, seconds, threads)
    print(found, flush=True)


if __name__ == "__main__":
    typer.run(run)
