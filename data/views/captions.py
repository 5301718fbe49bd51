"""Which of a sample's texts a view has: the plain view the first, the others what the policy's `caption` has drawn."""

from typing import Any

import numpy as np

from .policy import ViewPolicy


def drawn_captions(policy: ViewPolicy, parameters: np.ndarray) -> np.ndarray | None:
    """float64 (n,) in [0, 1) from a view policy's parameters (n, P); None when the policy draws no caption."""
    columns = [name.endswith(".caption.choice") for name in policy.parameters]
    found: np.ndarray = parameters[:, columns.index(True)] if any(columns) else np.zeros(0)
    return found if any(columns) else None


def pick_caption(value: Any, choice: float) -> str | None:
    """The text that `choice` in [0, 1) picks of a text or a list of texts; None for anything else."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not value or not all(isinstance(text, str) for text in value):
        return None
    return str(value[min(int(choice * len(value)), len(value) - 1)])
