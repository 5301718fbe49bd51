"""Convolutions and linear layers that compute as in a static graph of ONNX Runtime with U8S8: weights rounded to signed
levels per output channel, values to unsigned levels of one range, gradients passed straight through the rounding.

It holds no state: nothing is added to a student's weights, and no checkpoint knows of it. It refuses students without a
convolution, which are quantised in another way.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import StageError

_LARGEST = 64  # of a weight: signed, symmetric, of 7 bits as files are written
_MOST = 255  # of a value in unsigned 8 bits
_LEAST_SCALE = 1e-12
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_LAYERS = (*_CONVOLUTIONS, nn.Linear)
Range = tuple[Tensor, Tensor]  # the least and the largest value, both scalars
RangeOf = Callable[[str, Tensor], Range]


def of_batch(place: str, values: Tensor) -> Range:
    """The range of a place, as this batch fills it."""
    return values.detach().amin(), values.detach().amax()


def fake_values(values: Tensor, bounds: Range) -> Tensor:
    """`values` on 256 levels over `bounds`, of which 0 is one (ONNX Runtime, `compute_scale_zp`)."""
    least, most = bounds[0].float().clamp(max=0), bounds[1].float().clamp(min=0)
    scale = ((most - least) / _MOST).clamp(min=_LEAST_SCALE)
    zero = (-least / scale).round().clamp(0, _MOST).to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(values.float(), scale, zero, 0, _MOST)


def fake_weights(weight: Tensor) -> Tensor:
    """`weight` (channels, ...) on symmetric levels -64..64 of its own for each channel. Batch norms behind it scale
    whole channels, so that folding them in changes no level."""
    ends = weight.detach().float().abs().flatten(1).amax(1)
    scale = (ends / _LARGEST).clamp(min=_LEAST_SCALE)
    zero = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight.float(), scale, zero, 0, -_LARGEST, _LARGEST)


@contextmanager
def fake_quantised(student: nn.Module, on: bool = True, range_of: RangeOf = of_batch) -> Iterator[None]:
    """Within, `student` computes so; `on` False changes nothing. `range_of` says the range of a place: a layer's name
    and `.in` or, of linear layers, `.out`."""
    layers = layers_of(student) if on else {}
    for name, layer in layers.items():
        layer.forward = partial(_forward, layer, name, range_of)
    try:
        yield
    finally:
        for layer in layers.values():
            del layer.forward


def layers_of(student: nn.Module) -> dict[str, nn.Module]:
    """The layers that are quantised, by name."""
    return {name: layer for name, layer in student.named_modules() if isinstance(layer, _LAYERS)}


def require_convolutions(student: nn.Module, place: str) -> None:
    """Raise StageError for a student that has none."""
    if not any(isinstance(layer, _CONVOLUTIONS) for layer in student.modules()):
        raise StageError(
            f"{place}.fake_quantise: this student has no convolution, and such are quantised as they run, after their "
            "training: leave it out, and export with --int8"
        )


def _forward(layer: Any, name: str, range_of: RangeOf, values: Tensor) -> Tensor:
    given = fake_values(values, range_of(f"{name}.in", values))
    weight = fake_weights(layer.weight)
    if not isinstance(layer, nn.Linear):
        found: Tensor = layer._conv_forward(given, weight, layer.bias)
        return found
    said = nn.functional.linear(given, weight, layer.bias)
    return fake_values(said, range_of(f"{name}.out", said))
