"""How much memory forward passes need, without Python, torch and its libraries, which every model needs alike.

On CUDA: the most bytes that torch had allocated for tensors: weights, inputs, activations, workspaces of libraries that
go through torch. Neither the CUDA context nor what the allocator holds in reserve.

On a CPU under Linux: the bytes of the weights, plus what the process's resident memory grew by at its highest, from
just before the first forward pass: inputs, activations, and what kernels set up when they first run. Good to a megabyte
or so. Elsewhere it is not known, and None.
"""

from pathlib import Path

import torch
from torch import nn

from .size import weight_bytes

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_MEGABYTE = 1e6


class PeakMemory:
    """Made when the model is on its device and before it is first run; asked afterwards."""

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self._device, self._weights = device, weight_bytes(model)
        self._before: int | None = None
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        elif device.type == "cpu":
            self._before = _start_over(model)

    def megabytes(self) -> float | None:
        """The peak since this was made, in units of 10^6 bytes; None where it cannot be known."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) / _MEGABYTE
        if self._before is None:
            return None
        return (self._weights + max(0, _resident("VmHWM") - self._before)) / _MEGABYTE


def _start_over(model: nn.Module) -> int | None:
    """Resident bytes now, and the high-water mark brought down to them; None where the system cannot."""
    for tensor in model.state_dict().values():
        tensor.sum()  # weights that are still only mapped from their file must not count as growth later
    try:
        _CLEAR.write_text("5")
        return _resident("VmRSS")
    except OSError:
        return None


def _resident(field: str) -> int:
    """Bytes of a field of /proc/self/status. Not getrusage: its maximum is inherited from the parent."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024
