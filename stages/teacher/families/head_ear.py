"""Hears what enters a teacher's last linear layer, for caches that keep it instead of the logits.

A teacher whose logits are anything else than W h + b of that layer is refused: the cache would say something else.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ....cache import HeadLogits
from ...capture.head import final_linear
from ...errors import StageError

_ROUNDING = 64 * torch.finfo(torch.float32).eps  # of a sum of a few thousand products


class HeadEar:
    """Hears `model` until `close`. Raises StageError when the model has no such layer."""

    def __init__(self, model: nn.Module) -> None:
        self._model, (self._name, self._linear) = type(model).__name__, final_linear(model)
        self._heard: list[Tensor] = []
        self._checked = False
        handle = self._linear.register_forward_pre_hook(self._hear)
        self.close: Callable[[], None] = handle.remove

    def forget(self) -> None:
        """A new pass begins; one that failed may have left something."""
        self._heard = []

    def collect(self, logits: Tensor) -> HeadLogits:
        """What entered the head in the last pass, (B, d), with the head. `logits` (B, C) are what the model returned.

        Raises StageError when the head was not run once, or, in the first pass, when it does not make these logits.
        """
        heard, self._heard = self._heard, []
        if len(heard) != 1:
            raise StageError(f"{self._name} of {self._model} ran {len(heard)} times in one pass, not once")
        found = HeadLogits(heard[0], self._linear.weight.detach(), self._bias())
        if not self._checked:
            self._check(found, logits.detach())
            self._checked = True
        return found

    def _hear(self, _: nn.Module, args: tuple[Any, ...]) -> None:
        self._heard.append(args[0].detach())

    def _bias(self) -> Tensor:
        weight = self._linear.weight.detach()
        return weight.new_zeros(len(weight)) if self._linear.bias is None else self._linear.bias.detach()

    def _check(self, found: HeadLogits, logits: Tensor) -> None:
        """Compared within the rounding of the dtype that the logits have, relative to the terms of their sums."""
        exact = HeadLogits(found.hidden.float(), found.weight.float(), found.bias.float())
        terms = HeadLogits(exact.hidden.abs(), exact.weight.abs(), exact.bias.abs())
        computed = exact.logits()
        same = computed.shape == logits.shape
        bound = terms.logits() * (torch.finfo(logits.dtype).eps + _ROUNDING)
        if not same or bool(((computed - logits.float()).abs() > bound).any()):
            far = f"{float((computed - logits.float()).abs().max()):.3g} apart" if same else "of another shape"
            raise StageError(
                f"cache.signals: codec head keeps what enters {self._name}, and the logits of {self._model} are not "
                f"W h + b of it ({far}); keep them with f16 or pps"
            )
