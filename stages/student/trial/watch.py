"""Watches loss and gradient of a trial without waiting for the device: they are kept, and looked at when it is due."""

from collections.abc import Mapping

import torch
from torch import Tensor

_PATIENCE = 25  # skipped steps in a row: by then float16's loss scale has fallen from 65,536 to less than 0.01


class Watch:
    """Finds the first step with a loss that is not finite, and counts gradients that are not.

    A step with such a gradient changes nothing and is counted; only 25 in a row are a fault. (With float16 they are
    part of the method: the loss scale is too high, and falls.) `skipped` counts the steps that were looked at.
    """

    def __init__(self) -> None:
        self.skipped, self._row = 0, 0
        self._noted: list[tuple[int, Tensor, Tensor]] = []

    def note(self, step: int, loss: Tensor, norm: Tensor) -> None:
        """Keep loss and gradient norm (scalars on the device) of step `step`, 0 being the first."""
        self._noted.append((step, loss, norm))

    def look(self) -> str | None:
        """What is wrong with the steps noted since the last look; None when all is well. Waits for the device."""
        noted, self._noted = self._noted, []
        if not noted:
            return None
        finite = torch.stack([value.isfinite() for _, loss, norm in noted for value in (loss, norm)]).tolist()
        for (step, _, _), loss, norm in zip(noted, finite[::2], finite[1::2], strict=True):
            if fault := self._fault(loss, norm):
                return f"{fault} is not a finite number at step {step + 1}; a lower learning rate or clipping may help"
        return None

    def numbers(self) -> Mapping[str, int]:
        """For a checkpoint."""
        return {"skipped": self.skipped, "row": self._row}

    def restore(self, numbers: Mapping[str, int]) -> None:
        """Continue from a checkpoint."""
        self.skipped, self._row = numbers["skipped"], numbers["row"]

    def _fault(self, finite_loss: bool, finite_norm: bool) -> str | None:
        if not finite_loss:
            return "the loss"
        self._row = 0 if finite_norm else self._row + 1
        self.skipped += not finite_norm
        return f"the gradient, for {_PATIENCE} steps in a row," if self._row >= _PATIENCE else None
