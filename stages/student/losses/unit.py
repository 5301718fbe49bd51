"""Vectors of length one, of whatever comes in: zeros stay zeros, and squares of large values do not overflow."""

from torch import Tensor


def unit(values: Tensor, dim: int = -1) -> Tensor:
    """`values` divided by their length over `dim`. A zero vector stays one, and its gradient stays bounded."""
    largest = values.detach().abs().amax(dim=dim, keepdim=True)
    scaled = values / largest.where(largest > 0, 1.0)  # squares of bf16 values overflow float32
    squares = scaled.square().sum(dim=dim, keepdim=True)
    return scaled / squares.where(squares > 0, 1.0).sqrt()


def below_one(values: Tensor) -> Tensor:
    """`values` divided by the largest absolute entry of all: for losses that do not depend on the scale."""
    largest = values.detach().abs().max() if values.numel() else values.new_tensor(1.0)
    return values / largest.where(largest > 0, 1.0)
