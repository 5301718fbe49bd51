"""The moving average of a student's weights (EMA): what is saved in the end, when it is asked for."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class WeightAverage:
    """average <- decay * average + (1 - decay) * weight after each step, in float32 on the student's device.

    The decay of step n is min(decay, (1 + n) / (10 + n)): the first steps are forgotten soon, as TensorFlow's
    ExponentialMovingAverage does with num_updates. Buffers (statistics of batch norms) are copied, not averaged.
    """

    def __init__(self, student: nn.Module, decay: float) -> None:
        self._student, self._decay = student, decay
        self._values = {name: p.detach().clone() for name, p in student.named_parameters() if p.is_floating_point()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after step number `step` (1 is the first)."""
        decay = min(self._decay, (1 + step) / (10 + step))
        parameters = dict(self._student.named_parameters())
        old = list(self._values.values())
        new = [parameters[name].detach().to(value.dtype) for name, value in self._values.items()]
        torch._foreach_lerp_(old, new, 1 - decay)

    def state(self) -> Mapping[str, Tensor]:
        """For a checkpoint."""
        return self._values

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a checkpoint of the same student."""
        for name, value in self._values.items():
            value.copy_(state[name])

    @torch.no_grad()
    def apply(self) -> None:
        """Give the student its average weights. Training is over then."""
        for name, parameter in self._student.named_parameters():
            if name in self._values:
                parameter.copy_(self._values[name])
