"""What a student is given, as shapes: what builders fill arguments from, and blank inputs to try a student on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from .spec import InputSpec


@dataclass(frozen=True, slots=True)
class InputShape:
    """One tensor that a student's forward gets, (B, *shape).

    An axis of None differs from batch to batch, at most `longest`. `kind`: an image, token ids, the mask of token ids
    (1 real, 0 padding), an array, or the lengths of padded arrays. Token ids are below `vocabulary`, `padding` is the
    id that stands for nothing, and `tokenizer` the hash of the tokenizer that made them.
    """

    kind: Literal["image", "tokens", "mask", "array", "lengths"]
    shape: tuple[int | None, ...]
    dtype: Literal["float32", "int64", "bool"]
    longest: int | None = None
    vocabulary: int | None = None
    padding: int | None = None
    tokenizer: str | None = None

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "InputShape":
        """What `dataclasses.asdict` made, through JSON."""
        return cls(**{**content, "shape": tuple(content["shape"])})


def image_shape(spec: InputSpec, channels: int, size: int) -> InputShape:
    """How a student sees views of `channels` channels and `size` pixels a side."""
    side = spec.size or size
    return InputShape("image", (channels, side, side), "float32")


def blank_inputs(shapes: Mapping[str, InputShape], rows: int, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Inputs that say nothing, of `rows` rows: zeros, masks of ones, and every length the longest."""
    return {name: _blank(shape, rows, torch.device(device)) for name, shape in shapes.items()}


def _blank(shape: InputShape, rows: int, device: torch.device) -> Tensor:
    sides = [shape.longest or 1 if side is None else side for side in shape.shape]
    value = {"mask": 1, "lengths": shape.longest or 1}.get(shape.kind, 0)
    return torch.full((rows, *sides), value, dtype=getattr(torch, shape.dtype), device=device)
