"""The precision losses are computed in: float32, or float64 where the caller works in it. Never half."""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import ParamSpec

import torch
from torch import Tensor

P = ParamSpec("P")


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision as float32; float32 and float64 as they are."""
    return values if values.dtype in (torch.float32, torch.float64) else values.float()


def alike(*tensors: Tensor) -> tuple[Tensor, ...]:
    """All in the widest of their dtypes, at least float32, so that products of them are defined."""
    dtype = torch.float32
    for values in tensors:
        dtype = torch.promote_types(dtype, values.dtype)
    return tuple(values.to(dtype) for values in tensors)


def full_precision(loss: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """The loss with autocast off: inside it a product of two float32 matrices would be taken in half precision."""

    @wraps(loss)
    def exact(*args: P.args, **options: P.kwargs) -> Tensor:
        with torch.autocast(_device_type(args), enabled=False):
            return loss(*args, **options)

    return exact


def _device_type(arguments: Iterable[object]) -> str:
    """Of the first tensor among the arguments, or among the items of the first sequence of tensors."""
    for argument in arguments:
        if isinstance(argument, Tensor):
            return argument.device.type
        if isinstance(argument, list | tuple):
            return _device_type(argument)
    return "cpu"
