"""How the small sample teachers of arrays are trained: AdamW, a cosine schedule, cross-entropy."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import get_cosine_schedule_with_warmup

Augment = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True, slots=True)
class Recipe:
    """`warmup` is a part of all steps."""

    steps: int
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup: float = 0.05
    clip: float = 1.0
    seed: int = 0


def train(model: nn.Module, inputs: Tensor, labels: Tensor, recipe: Recipe, augment: Augment) -> float:
    """Trains `model`, which gives {logits (B, classes)}, in place on inputs (n, ...) and labels int64 (n,); returns the
    seconds of CPU that it took."""
    generator = torch.Generator().manual_seed(recipe.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = get_cosine_schedule_with_warmup(optimizer, int(recipe.warmup * recipe.steps), recipe.steps)
    started = time.process_time()
    model.train()
    for step in range(1, recipe.steps + 1):
        rows = torch.randint(len(labels), (recipe.batch_size,), generator=generator)
        loss = F.cross_entropy(model(augment(inputs[rows], generator))["logits"], labels[rows])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        schedule.step()
        if step % 200 == 0:
            print(f"step {step}: loss {loss:.3f}, {time.process_time() - started:.0f} s", flush=True)
    return time.process_time() - started


@torch.inference_mode()
def all_logits(model: nn.Module, inputs: Tensor) -> Tensor:
    """Logits (n, classes) of inputs (n, ...), in evaluation mode."""
    model.eval()
    return torch.cat([model(part)["logits"] for part in inputs.split(256)])


def save_weights(model: nn.Module, sizes: dict[str, Any], folder: Path) -> None:
    """Writes config.json, which holds the arguments of the model's class, and model.safetensors in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in model.state_dict().items()
    }
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(sizes, indent=2) + "\n", encoding="utf-8")


def read_weights(build: Callable[..., nn.Module], folder: Path) -> nn.Module:
    """The model that `save_weights` wrote, built by its class, in float32, in evaluation mode."""
    model = build(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
    found = load_file(folder / "model.safetensors")
    model.load_state_dict({name: x.float() if x.is_floating_point() else x for name, x in found.items()})
    return model.eval()
