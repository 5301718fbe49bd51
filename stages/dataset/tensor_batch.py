"""Rows of a cache as tensors, in a form that processes hand to each other and that memory can be pinned for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class TensorBatch:
    """B rows: batch `number` of epoch `epoch`.

    `rows` (B,) int64 row numbers of the whole cache, ascending; `ids` (B,) str, a numpy array; `views` (B,) int64;
    `labels` (B,) int64 with -1 for none; `signals` by name: a float32 tensor (B, ...), a decoded form such as
    SparseLogits whose fields are tensors, or, where encoded, a mapping of parts.
    """

    epoch: int
    number: int
    rows: Tensor
    ids: np.ndarray
    views: Tensor
    labels: Tensor
    signals: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "TensorBatch":
        """The same on a device."""
        return each_tensor(self, lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "TensorBatch":
        """The same in pinned memory, from which copies to the device overlap with its work. A DataLoader calls this."""
        return each_tensor(self, lambda tensor: tensor.pin_memory())


def each_tensor(value: Value, change: Callable[[Tensor], Tensor]) -> Value:
    """A copy of a tensor, mapping, tuple, list or dataclass of them in which every tensor is `change(tensor)`."""
    changed: Any = value
    if isinstance(value, Tensor):
        changed = change(value)
    elif isinstance(value, Mapping):
        changed = {key: each_tensor(one, change) for key, one in value.items()}
    elif isinstance(value, tuple | list):
        changed = type(value)(each_tensor(one, change) for one in value)
    elif is_dataclass(value) and not isinstance(value, type):
        changed = replace(value, **{one.name: each_tensor(getattr(value, one.name), change) for one in fields(value)})
    return changed  # type: ignore[no-any-return]
