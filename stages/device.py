"""Which device a stage runs on."""

import torch

from .errors import StageError


def pick_device(name: str) -> torch.device:
    """`auto` is cuda, then mps, then cpu. Raises StageError for a device this machine does not have."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError) as error:
        raise StageError(
            f"device {name!r} cannot be used here ({str(error).splitlines()[0]}); try auto or cpu"
        ) from error
