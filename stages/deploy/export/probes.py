"""Made-up inputs that an exported graph is compared on: noise, texts of every length, padding behind them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ...student.inputs.shape import InputShape

_END = 3  # ids below are left to padding, beginning and end


def probe_inputs(inputs: Mapping[str, InputShape], rows: int, seed: int, fixed: bool = False) -> dict[str, Tensor]:
    """{input: (rows, ...)}; equal for equal arguments. Lengths differ from row to row, and the last row is a short one
    of the batch where there are several; with `fixed` every batch is as wide as the longest may be."""
    generator = torch.Generator().manual_seed(seed)
    longest = max((one.longest or 1 for one in inputs.values()), default=1)
    lengths = torch.randint(1, longest + 1, (rows,), generator=generator)
    width = longest if fixed else int(lengths.max())
    return {name: _probe(one, rows, lengths, width, generator) for name, one in inputs.items()}


def _probe(shape: InputShape, rows: int, lengths: Tensor, width: int, generator: torch.Generator) -> Tensor:
    real = torch.arange(width) < lengths[:, None]
    if shape.kind == "mask":
        return real.to(torch.int64)
    if shape.kind == "lengths":
        return lengths
    sides = [width if side is None else side for side in shape.shape]
    if shape.kind == "tokens":
        vocabulary = shape.vocabulary or 1
        ids = torch.randint(min(_END, vocabulary - 1), vocabulary, (rows, *sides), generator=generator)
        return ids.masked_fill(~real, shape.padding or 0)
    values = torch.randn(rows, *sides, generator=generator)
    if shape.dtype != "float32":
        values = (values.abs() * 8).to(getattr(torch, shape.dtype))
    if not shape.shape or shape.shape[0] is not None:
        return values
    return values * real.reshape(rows, width, *[1] * (values.ndim - 2)).to(values.dtype)
