"""Claims a process's share of a GPU: waits until it is free, then tells torch to take no more. The only file here that
asks a GPU.

The cap is torch's own (`torch.cuda.set_per_process_memory_fraction`): it holds what torch's allocator takes, not the
context of CUDA (some hundred MB a process) nor what libraries take past it. Numbers of devices are those that
CUDA_VISIBLE_DEVICES leaves, as the queue sets it.
"""

import sys
import time
from collections.abc import Callable

import torch

from .share import MemoryShare, MemoryState, await_memory

_BEFORE: dict[str, int] = {}  # peaks by device, from before they were begun anew


def claim_memory(share: MemoryShare | None, device: torch.device, stop: Callable[[], bool]) -> None:
    """Wait for the share and keep to it from now on; nothing happens without a share, or on another device than a
    CUDA one. A line of stderr says each time that the memory is not free. Raises Interrupted as `await_memory` does."""
    if share is None or device.type != "cuda":
        return
    await_memory(share, str(device), lambda: _state(device), time.sleep, stop, _tell)
    torch.cuda.set_per_process_memory_fraction(share.share, device)


def peak_bytes(device: torch.device) -> int | None:
    """The most that torch has held of a CUDA device in this process; None for another device."""
    if device.type != "cuda":
        return None
    return max(torch.cuda.max_memory_reserved(device), _BEFORE.get(str(device), 0))


def reset_peak(device: torch.device) -> None:
    """Begin torch's peaks of a CUDA device anew, for who measures a part of a process; `peak_bytes` forgets nothing."""
    _BEFORE[str(device)] = peak_bytes(device) or 0
    torch.cuda.reset_peak_memory_stats(device)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # into the log of a task as it is said


def _state(device: torch.device) -> MemoryState:
    free, total = torch.cuda.mem_get_info(device)
    return MemoryState(free, total, torch.cuda.memory_reserved(device))
