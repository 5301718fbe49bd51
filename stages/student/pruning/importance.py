"""What every weight of a student is worth: a number >= 0 each. What a channel or head is worth is their sum.

`taylor` is the first-order Taylor expansion of the loss (Molchanov et al. 2019, arXiv:1906.10771): |weight * gradient|,
a running mean over steps. The gradient is that of the student's own objective, so of its targets from the cache.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..trial.randomness import derive_seed
from .picks import Picks, picked

_NEW = 0.1  # share of the newest step in the running mean


class TaylorScores:
    """The running mean of |weight * gradient| by name, on the student's device. A gradient that is not finite, and a
    weight without one, change nothing."""

    def __init__(self, student: nn.Module) -> None:
        self.values = {name: torch.zeros_like(p, requires_grad=False) for name, p in student.named_parameters()}

    @torch.no_grad()
    def note(self, student: nn.Module, norm: Tensor) -> None:
        """Take in the gradients of a step, whose norm is given."""
        finite = norm.isfinite()
        for name, parameter in student.named_parameters():
            if parameter.grad is not None:
                old = self.values[name]
                new = torch.lerp(old, (parameter * parameter.grad).abs().to(old.dtype), _NEW)
                self.values[name] = torch.where(finite, new, old)

    def pick(self, picks: Picks) -> None:
        """Keep those of the weights that are kept."""
        self.values = {name: picked(value, picks, name) for name, value in self.values.items()}

    def restore(self, values: Mapping[str, Tensor]) -> None:
        """Continue from a checkpoint."""
        self.values = {name: value.to(self.values[name].device) for name, value in values.items()}


def weight_scores(student: nn.Module) -> dict[str, Tensor]:
    """{parameter: its squares}: `l2`."""
    return {name: parameter.detach().square() for name, parameter in student.named_parameters()}


def drawn_scores(student: nn.Module, *parts: str | int) -> dict[str, Tensor]:
    """{parameter: numbers in [0, 1) drawn by `parts` and its name}: `random`, the control of every other ranking."""
    found = {}
    for name, parameter in student.named_parameters():
        generator = torch.Generator().manual_seed(derive_seed("prune", *parts, name))
        found[name] = torch.rand(parameter.shape, generator=generator)
    return found
