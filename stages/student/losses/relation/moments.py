"""NST: the channels of two feature maps have the same distribution over the grid. Numbers of channels may differ."""

import torch
from torch import Tensor
from torch.nn import functional

from ..pairing import map_pair
from ..precision import full_precision
from ..unit import unit


@full_precision
def nst(output: Tensor, target: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of the channels under the kernel (x . y)^2, (B,); (B, C, h, w), (B, C', h', w').

    Each channel is a vector over the grid, of length one; the finer grid is averaged onto the coarser one first.
    Huang and Wang 2017, "Like What You Like: Knowledge Distill via Neuron Selectivity Transfer", arXiv 1707.01219.
    """
    student, teacher = map_pair(output, target, "nst")
    grid = min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3])
    s, t = _channels(student, grid), _channels(teacher, grid)
    return _kernel_mean(t, t) + _kernel_mean(s, s) - 2 * _kernel_mean(s, t)


def _channels(values: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, C, cells), each channel of length one."""
    largest = values.detach().abs().amax(dim=(1, 2, 3), keepdim=True)
    scaled = values / largest.where(largest > 0, 1.0)
    return unit(functional.adaptive_avg_pool2d(scaled, grid).flatten(2))


def _kernel_mean(first: Tensor, second: Tensor) -> Tensor:
    """(B,) mean over pairs of channels of their product squared."""
    return torch.bmm(first, second.transpose(1, 2)).square().mean(dim=(1, 2))
