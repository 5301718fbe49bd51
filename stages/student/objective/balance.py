"""Weights of terms that adapt while a student trains, on top of those that the settings give."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

_LARGEST = 5.0  # |log variance|: a term that is fulfilled would otherwise grow without end
_ALPHA = 0.5  # GradNorm's asymmetry: how much more a term counts that has fallen less than the others
_PACE = 0.2  # how much of the way to balance one look goes


class Uncertainty(nn.Module):
    """sum_i exp(-s_i) L_i + s_i / 2 with learnt s_i = log of a term's variance (Kendall, Gal and Cipolla 2018, arXiv
    1705.07115, eq. 10). s_i starts at 0 and stays within 5 of it."""

    def __init__(self, terms: int) -> None:
        super().__init__()
        self.log_variances = nn.Parameter(torch.zeros(terms))

    def forward(self, values: Sequence[Tensor]) -> Tensor:
        """The weighted terms, scalars -> the total, a scalar."""
        s = self.log_variances.clamp(-_LARGEST, _LARGEST)
        return (torch.exp(-s) * torch.stack(list(values)).float() + 0.5 * s).sum()

    def look(self, values: Sequence[Tensor], parameters: Sequence[Tensor]) -> None:
        """Nothing to do: its weights are learnt."""


class GradientNorm(nn.Module):
    """sum_i w_i L_i, with w_i such that the terms pull about equally hard (after GradNorm, Chen et al. 2018, arXiv
    1711.02257).

    At each look G_i, the norm of w_i L_i's gradient over the parameters that train, is moved towards mean(G) * r_i^0.5;
    r_i is the share of its first value that a term still has, over the mean share. Where the paper takes a gradient
    step on |G_i - target|, w_i is multiplied by (target / G_i)^0.2: no learning rate has to be chosen. The w_i keep the
    sum they began with.
    """

    def __init__(self, terms: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.ones(terms))
        self.register_buffer("first", torch.full((terms,), torch.nan))
        self.weights: Tensor
        self.first: Tensor

    def forward(self, values: Sequence[Tensor]) -> Tensor:
        """The weighted terms, scalars -> the total, a scalar."""
        return (self.weights * torch.stack(list(values)).float()).sum()

    def look(self, values: Sequence[Tensor], parameters: Sequence[Tensor]) -> None:
        """Set the weights anew. Costs one backward pass for each term; the graph is kept."""
        norms = torch.stack([_gradient_norm(value, parameters) for value in values]) * self.weights
        now = torch.stack([value.detach().float() for value in values])
        self.first.copy_(torch.where(self.first.isnan(), now, self.first))
        left = now.abs() / self.first.abs().clamp_min(1e-12)
        target = norms.mean() * (left / left.mean().clamp_min(1e-12)) ** _ALPHA
        pulls = (norms > 0) & target.isfinite() & (target > 0)
        moved = torch.where(pulls, self.weights * (target / norms.clamp_min(1e-30)) ** _PACE, self.weights)
        self.weights.copy_(moved * (len(moved) / moved.sum()))


Balance = Uncertainty | GradientNorm


def build_balance(kind: Literal["uncertainty", "gradient-norm"], terms: int) -> Balance:
    """The balance of that name, for so many terms."""
    return Uncertainty(terms) if kind == "uncertainty" else GradientNorm(terms)


def _gradient_norm(value: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    if not value.requires_grad:
        return torch.zeros((), device=value.device)
    found = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    norms = [torch.linalg.vector_norm(gradient.float()) for gradient in found if gradient is not None]
    return torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.zeros((), device=value.device)
