"""The ranges of what a student's layers are given and say over many batches, as a calibration finds them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .fake_quantise import Range, layers_of, of_batch


@contextmanager
def observed(student: nn.Module) -> Iterator[dict[str, Range]]:
    """Within, the ranges of all that `student` computes are noted; {place: range} as `fake_quantised` asks for it."""
    ranges: dict[str, Range] = {}
    hooks = [layer.register_forward_hook(partial(_note, ranges, name)) for name, layer in layers_of(student).items()]
    try:
        yield ranges
    finally:
        for hook in hooks:
            hook.remove()


def known_range(ranges: dict[str, Range]) -> Callable[[str, Tensor], Range]:
    """`range_of` for ranges that stay; a layer that was not observed has those of its batch."""
    return lambda place, values: ranges.get(place) or of_batch(place, values)


def _note(ranges: dict[str, Range], name: str, layer: nn.Module, given: tuple[Any, ...], said: Tensor) -> None:
    for place, values in ((f"{name}.in", given[0]), (f"{name}.out", said)):
        found = of_batch(place, values)
        if place in ranges:
            found = torch.minimum(found[0], ranges[place][0]), torch.maximum(found[1], ranges[place][1])
        ranges[place] = found
