"""Inputs of noise, of the shapes that a student takes: what it is timed on. Texts are as long as may be."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ...student.inputs.shape import InputShape, blank_inputs


def noise_inputs(shapes: Mapping[str, InputShape], rows: int) -> dict[str, Tensor]:
    """Normal images and arrays, uniform token ids, masks of ones and full lengths, of `rows` rows, on the CPU."""
    return {name: _noise(shapes[name], blank) for name, blank in blank_inputs(shapes, rows).items()}


def _noise(shape: InputShape, blank: Tensor) -> Tensor:
    if shape.kind == "tokens":
        return torch.randint(0, shape.vocabulary or 1, blank.shape)
    return torch.randn(blank.shape) if blank.is_floating_point() else blank
