"""A model that refuses what its processor has made is one error for the user, and no traceback of the model's code."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from ...errors import StageError

_NOT_OURS = ("out of memory", "enough memory", "allocate memory", "cuda error", "cudnn")  # of the machine


@contextmanager
def refusals(model: nn.Module) -> Iterator[None]:
    """Around a call of `model`. Raises StageError for inputs that it refuses; the machine's own errors go through."""
    try:
        yield
    except (StageError, torch.OutOfMemoryError):
        raise
    except (ValueError, TypeError, IndexError, RuntimeError) as error:
        if any(mark in str(error).lower() for mark in _NOT_OURS):
            raise
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StageError(
            f"teacher.model: {type(model).__name__} refuses what its processor has made of the samples ({said}): are "
            "processor or tokenizer and weights of one model, and does views.channels fit it?"
        ) from error
