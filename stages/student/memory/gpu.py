"""The figures that torch keeps of a GPU's memory; none on other devices. The only file here that asks a GPU."""

from dataclasses import dataclass

import torch

from ...gpu_sharing.claim import reset_peak


@dataclass(frozen=True, slots=True)
class Meter:
    """What torch has given out of a GPU. Blocks count from when the host takes to when it frees them: nothing waits."""

    device: torch.device

    def allocated(self) -> int:
        """Bytes now."""
        return torch.cuda.memory_allocated(self.device)

    def peak(self) -> int:
        """Most bytes since the last reset."""
        return torch.cuda.max_memory_allocated(self.device)

    def reset(self) -> None:
        """Begin the peak anew."""
        reset_peak(self.device)


def meter_of(device: torch.device) -> Meter | None:
    """The meter of a CUDA device, None for another."""
    return Meter(device) if device.type == "cuda" else None


def room_of(device: torch.device) -> int | None:
    """Bytes of a CUDA device that this process may still give out: of its share, and of what others leave free. None
    for another device. What torch keeps for nobody is given back first."""
    if device.type != "cuda":
        return None
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info(device)
    share = int(torch.cuda.get_per_process_memory_fraction(device) * total)
    return min(share, torch.cuda.memory_reserved(device) + free) - torch.cuda.memory_allocated(device)
