"""What ended a trial, in one line that stands in `failed.json` and on the screen."""

import torch

NO_MEMORY = "out of memory"
_MEMORY = (NO_MEMORY, "can't allocate memory")  # how torch says it where it has no class of its own for it


def failure_reason(error: Exception) -> str:
    """One line about what ended a trial."""
    told = getattr(error, "reason", None)  # of another process of this training, which has made its line
    if isinstance(told, str):
        return told
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(word in str(error) for word in _MEMORY):
        return f"{NO_MEMORY}; a smaller student, fewer students at once or a smaller batch may fit ({text})"
    return f"{type(error).__name__}: {text}"
