"""What a term's loss is given beside outputs and targets: a teacher's head, a bank of rows, a scale that is learnt."""

from math import log
from typing import Any

import torch
from torch import Tensor, nn

from ..losses.relation.bank import crd_log_z

_LARGEST_SCALE = 100.0  # as CLIP has it


class Head(nn.Module):
    """The teacher's last layer, which is not trained."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight.float(), persistent=False)
        self.register_buffer("bias", bias.float(), persistent=False)

    def forward(self, outputs: Any, rows: Any) -> dict[str, Any]:
        """Keywords of `srrl`."""
        return {"weight": self.weight, "bias": self.bias}


class LearntScale(nn.Module):
    """exp of a parameter that trains with the student, from 1 / 0.07, at most 100, as in CLIP (arXiv 2103.00020)."""

    def __init__(self) -> None:
        super().__init__()
        self.logarithm = nn.Parameter(torch.tensor(log(1 / 0.07)))

    def forward(self, outputs: Any, rows: Any) -> dict[str, Any]:
        """The keyword `scale`."""
        return {"scale": self.logarithm.exp().clamp(max=_LARGEST_SCALE)}


class Bank(nn.Module):
    """Rows of the cache that stand against every row of a batch, without those of its own sample; `samples` in all.

    log Z is that of the first batch, and belongs to the checkpoint.
    """

    values: Tensor
    numbers: Tensor
    log_z: Tensor

    def __init__(self, values: Tensor, numbers: Tensor, samples: int, scale: float) -> None:
        super().__init__()
        self.register_buffer("values", values, persistent=False)
        self.register_buffer("numbers", numbers, persistent=False)
        self.register_buffer("log_z", torch.tensor(torch.nan))
        self._samples, self._scale = samples, scale

    def forward(self, output: Tensor, rows: Tensor) -> dict[str, Any]:
        """Keywords of `crd`; `rows` (B,) are the samples of the batch's signals."""
        temperature = 1 / self._scale
        with torch.no_grad():
            now = crd_log_z(output, self.values, samples=self._samples, temperature=temperature)
            self.log_z.copy_(torch.where(self.log_z.isnan(), now, self.log_z))
        own = rows[:, None] == self.numbers
        found = {"bank": self.values, "own": own, "samples": self._samples, "log_z": self.log_z.clone()}
        return {**found, "temperature": temperature}
