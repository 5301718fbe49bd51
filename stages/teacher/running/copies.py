"""Copies between the host and a GPU, on streams of their own, so that they overlap with what the device computes.

Memory is pinned on the host's side. On another device a copy is what torch makes of it, and nothing overlaps.
"""

from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor


def to_device(inputs: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The tensors on the device: what is computed from now on waits for them, what was begun before does not."""
    if device.type != "cuda":
        return {name: value.to(device) for name, value in inputs.items()}
    stream, current = _stream(device, "in"), torch.cuda.current_stream(device)
    with torch.cuda.stream(stream):
        moved = {name: value.to(device, non_blocking=True) for name, value in inputs.items()}
    current.wait_stream(stream)
    for value in moved.values():
        value.record_stream(current)  # its memory is not given to others before the teacher has read it
    return moved


def to_host(tensor: Tensor) -> Tensor:
    """A copy on the host that has begun; it has arrived when the event of `all_copied` has."""
    if tensor.device.type != "cuda":
        return tensor.cpu()
    stream = _stream(tensor.device, "out")
    stream.wait_stream(torch.cuda.current_stream(tensor.device))
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    with torch.cuda.stream(stream):
        pinned.copy_(tensor, non_blocking=True)
    tensor.record_stream(stream)
    return pinned


def all_copied(device: torch.device) -> torch.cuda.Event | None:
    """An event after all copies to the host that were begun; None where they have been made already."""
    if device.type != "cuda":
        return None
    event = torch.cuda.Event()
    event.record(_stream(device, "out"))
    return event


def _stream(device: torch.device, way: str) -> torch.cuda.Stream:
    return _stream_of(torch.cuda.current_device() if device.index is None else device.index, way)


@cache
def _stream_of(index: int, way: str) -> torch.cuda.Stream:
    """One for each way and device, as long as the process lives; `cuda` and `cuda:0` may be one device."""
    return torch.cuda.Stream(index)
