"""What students are given in tests: shapes of inputs, settings that take them, and batches of them."""

from typing import Any

import torch
from torch import Tensor, nn

from teachercache.stages.student.inputs.shape import InputShape
from teachercache.stages.student.models.builders import StudentShape, build_student
from teachercache.stages.student.spec import StudentSpec

VOCABULARY, LONGEST, SIDE = 20, 6, 8
SOURCES = {
    "pixel_values": {"image": {}},
    "input_ids": {"text": "caption", "tokenizer": "none", "max_tokens": LONGEST},
    "sequence": {"array": "sequence", "max_tokens": LONGEST},
    "volume": {"array": "volume", "max_tokens": LONGEST},
}
SHAPES = {
    "input_ids": InputShape("tokens", (None,), "int64", LONGEST, VOCABULARY, 0),
    "attention_mask": InputShape("mask", (None,), "int64", LONGEST),
    "sequence": InputShape("array", (None, 3), "float32", LONGEST),
    "sequence_lengths": InputShape("lengths", (), "int64", LONGEST),
    "volume": InputShape("array", (None, 8, 8), "float32", LONGEST),
    "volume_lengths": InputShape("lengths", (), "int64", LONGEST),
}
BESIDE = {"input_ids": "attention_mask", "sequence": "sequence_lengths", "volume": "volume_lengths"}


def settings(
    use: str, takes: tuple[str, ...], args: dict[str, Any] | None = None, output: str = "logits", **more: Any
) -> StudentSpec:
    """A student that takes these inputs, and learns something at one output."""
    inputs, terms = {name: SOURCES[name] for name in takes}, ({"loss": "cross_entropy", "output": output},)
    return StudentSpec(name="tiny", use=use, args=args or {}, inputs=inputs, objective=terms, **more)


def given(takes: tuple[str, ...], classes: int = 5) -> StudentShape:
    """The shape of what they are given; images are of 3 channels."""
    names = [part for name in takes for part in (name, BESIDE.get(name, ""))]
    return StudentShape(classes, 3, SIDE, {name: SHAPES[name] for name in names if name in SHAPES})


def built(
    use: str, takes: tuple[str, ...], outputs: tuple[str, ...], args: dict[str, Any] | None = None, **more: Any
) -> nn.Module:
    """A student in evaluation mode."""
    return build_student(settings(use, takes, args, **more), given(takes), outputs, seed=0).eval()


def batch(takes: tuple[str, ...], rows: int = 3, length: int = LONGEST, seed: int = 0) -> dict[str, Tensor]:
    """Rows of noise; texts end with id 1, their last token."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, Tensor] = {}
    for name in takes:
        if name == "input_ids":
            ids = torch.randint(2, VOCABULARY, (rows, length), generator=generator)
            ids[:, -1] = 1
            found |= {name: ids, "attention_mask": torch.ones_like(ids)}
        elif name == "pixel_values":
            found[name] = torch.randn(rows, 3, SIDE, SIDE, generator=generator)
        else:
            sides = (3,) if name == "sequence" else (8, 8)
            found[name] = torch.randn(rows, length, *sides, generator=generator)
            found[BESIDE[name]] = torch.full((rows,), length)
    return found


def padded(inputs: dict[str, Tensor], more: int) -> dict[str, Tensor]:
    """The same rows with `more` places of rubbish behind them that are no tokens."""
    found = dict(inputs)
    for name in ("input_ids", "sequence", "volume"):
        if name in inputs:
            rubbish = inputs[name][:, :1].repeat_interleave(more, dim=1) + 1
            found[name] = torch.cat([inputs[name], rubbish], dim=1)
    if "attention_mask" in inputs:
        mask = inputs["attention_mask"]
        found["attention_mask"] = torch.cat([mask, mask.new_zeros(len(mask), more)], dim=1)
    return found
