"""Exported graphs that write, held against the student itself: prompts of many lengths, and tokens behind them.

The student in torch reads everything anew for each token, without a cache, as it was trained; the graphs read prompt
and tokens once. Both must give the same logits of the next token. It refuses what differs, or is no number.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ....errors import StageError, StageFailed
from ....student.inputs.shape import InputShape
from ..check import BATCHES, require_close
from ..probes import probe_inputs
from .parts import WriterParts
from .writing import Run, Writing

STEPS = 3  # tokens behind each prompt


def check_writer(
    writer: WriterParts, shapes: Mapping[str, InputShape], run: Run, tolerance: float | None, what: str
) -> float:
    """The largest difference over batches and steps, as a share of the largest logit where that is above 1.

    `tolerance` None compares nothing, and still refuses what is no number. Raises StageFailed."""
    worst = 0.0
    for batch in BATCHES:
        inputs, more = _prompts(shapes, batch)
        wanted = {f"logits of token {place}": one for place, one in enumerate(_torch(writer, inputs, more))}
        found = {f"logits of token {place}": one for place, one in enumerate(_written(writer, run, inputs, more, what))}
        worst = max(worst, require_close(found, wanted, tolerance, what))
    return worst


def _prompts(shapes: Mapping[str, InputShape], batch: int) -> tuple[dict[str, Tensor], Tensor]:
    """Inputs whose texts leave room for STEPS tokens, and those tokens, int64 (B, STEPS)."""
    ids = shapes["input_ids"]
    inputs = probe_inputs(shapes, batch, batch)
    room = max(1, (ids.longest or STEPS + 1) - STEPS)
    inputs = {
        name: values[:, :room] if shapes[name].shape[:1] == (None,) else values for name, values in inputs.items()
    }
    generator = torch.Generator().manual_seed(batch)
    return inputs, torch.randint(0, ids.vocabulary or 1, (batch, STEPS), generator=generator)


def _written(writer: WriterParts, run: Run, inputs: Mapping[str, Tensor], more: Tensor, what: str) -> list[np.ndarray]:
    writing = Writing(run, writer.generation)
    try:
        said = [writing.begin({name: values.numpy() for name, values in inputs.items()})]
        return said + [writing.step(tokens.numpy()) for tokens in more.T]
    except StageError:
        raise
    except Exception as error:  # whatever a runtime raises
        raise StageFailed(f"{what}: the exported graphs fail on a batch of {len(more)} ({error})") from error


def _torch(writer: WriterParts, inputs: Mapping[str, Tensor], more: Tensor) -> list[np.ndarray]:
    """float32 (B, vocabulary) of each place after the prompt, from one pass over all of each row."""
    ids = inputs["input_ids"]
    real = inputs.get("attention_mask", torch.ones_like(ids)).sum(1)
    texts = torch.zeros(len(ids), ids.shape[1] + STEPS, dtype=torch.int64)
    for row, count in enumerate(real.tolist()):
        texts[row, :count], texts[row, count : count + STEPS] = ids[row, :count], more[row]
    mask = (torch.arange(texts.shape[1]) < real[:, None] + STEPS).to(torch.int64)
    given = {**inputs, "input_ids": texts} | ({"attention_mask": mask} if "attention_mask" in inputs else {})
    with torch.inference_mode():
        logits = writer.student(given)["logits"]
    first = writer.generation["image_tokens"] + real - 1
    rows = torch.arange(len(ids))
    return [logits[rows, first + place].numpy() for place in range(STEPS + 1)]
