"""Memory of the device: when it ran out, how much is free, and how much the last passes took at most."""

import resource
import sys
from pathlib import Path

import torch

_CPU_WORDS = ("not enough memory", "can't allocate memory", "cannot allocate memory")


def ran_out(error: BaseException | None) -> bool:
    """Whether this error says so, or was raised from one that does."""
    while error is not None:
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            return True
        if isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _CPU_WORDS):
            return True
        error = error.__cause__
    return False


def release(device: torch.device) -> None:
    """Give back what torch keeps for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def free_bytes(device: torch.device) -> int | None:
    """Bytes that can still be had; None where nobody says."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        share = getattr(torch.cuda, "get_per_process_memory_fraction", lambda device: 1.0)(device)  # since torch 2.8
        allowed = int(share * total)
        return min(int(free) + torch.cuda.memory_reserved(device), allowed) - torch.cuda.memory_allocated(device)
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def peak_bytes(device: torch.device) -> int:
    """The most that was in use up to now."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
