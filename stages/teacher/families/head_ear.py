"""Hears what enters a teacher's last linear layer, for caches that keep it instead of the logits.

A teacher whose logits are anything else than W h + b of that layer is refused: the cache would say something else.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ....cache import HeadLogits
from ....cache.codecs import Ragged
from ...capture.head import final_linear
from ...capture.ragged import real_mask
from ...errors import StageError

Cut = Callable[[Any], Tensor | Ragged]
_MOST = 1 << 24  # logits that are looked at
_ROUNDING = 64 * torch.finfo(torch.float32).eps  # of a sum of a few thousand products


class HeadEar:
    """Hears `model` until `close`. Raises StageError when the model has no such layer."""

    def __init__(self, model: nn.Module) -> None:
        self._model, (self._name, self._linear) = type(model).__name__, final_linear(model)
        self._heard: list[Tensor] = []
        self._checked: set[str] = set()
        handle = self._linear.register_forward_pre_hook(self._hear)
        self.close: Callable[[], None] = handle.remove

    def forget(self) -> None:
        """A new pass begins; one that failed may have left something."""
        self._heard = []

    def collect(
        self, logits: Mapping[str, Tensor | Ragged], cuts: Mapping[str, Cut] | None = None
    ) -> dict[str, HeadLogits]:
        """What entered the head in the last pass, (B, d) or (B, T, d), with the head, for each point of `logits`, which
        are (B, C) or (B, T, C) as the model returned them. Where these are Ragged, so is what entered; `cuts` bring it
        to the tokens of a point whose logits are not of all tokens.

        Raises StageError when the head was not run once, or, in the first pass, when it does not make these logits.
        """
        heard, self._heard = self._heard, []
        if len(heard) != 1:
            raise StageError(f"{self._name} of {self._model} ran {len(heard)} times in one pass, not once")
        cuts = cuts or {}
        return {point: self._collected(point, heard[0], said, cuts.get(point)) for point, said in logits.items()}

    def _collected(self, point: str, hidden: Tensor | Ragged, logits: Tensor | Ragged, cut: Cut | None) -> HeadLogits:
        if cut is not None:
            hidden = cut(hidden)
        elif isinstance(logits, Ragged):
            hidden = Ragged(hidden, logits.lengths)
        found = HeadLogits(hidden, self._linear.weight.detach(), self._bias())
        if point not in self._checked:
            self._check(*_some(found, logits))
            self._checked.add(point)
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
        logits, same = logits.detach(), computed.shape == logits.shape
        bound = terms.logits() * (torch.finfo(logits.dtype).eps + _ROUNDING)
        if not same or bool(((computed - logits.float()).abs() > bound).any()):
            far = f"{float((computed - logits.float()).abs().max()):.3g} apart" if same else "of another shape"
            raise StageError(
                f"cache.signals: codec head keeps what enters {self._name}, and the logits of {self._model} are not "
                f"W h + b of it ({far}); keep them with f16 or pps"
            )


def _some(found: HeadLogits, logits: Tensor | Ragged) -> tuple[HeadLogits, Tensor]:
    """Both sides as vectors: those of a whole batch, or of as many of its tokens, real ones, as there is room for."""
    hidden = found.hidden
    if isinstance(hidden, Ragged):
        assert isinstance(logits, Ragged)
        width = min(hidden.values.shape[1], logits.values.shape[1])
        real = real_mask(Ragged(hidden.values[:, :width], hidden.lengths))
        hidden, logits = hidden.values[:, :width][real], logits.values[:, :width][real]
    assert isinstance(logits, Tensor)
    if hidden.shape[:-1] != logits.shape[:-1]:
        return found, logits
    hidden, logits = hidden.flatten(0, -2), logits.flatten(0, -2)
    every = -(-len(hidden) * found.classes // _MOST)
    return HeadLogits(hidden[:: max(1, every)], found.weight, found.bias), logits[:: max(1, every)]
