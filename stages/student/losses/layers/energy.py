"""AT: where on the grid a feature map has its energy. Channels may differ, and the student's grid may be finer."""

from torch import Tensor
from torch.nn import functional

from ....errors import StageError
from ..precision import at_least_float32
from ..unit import unit


def attention_transfer(output: Tensor, target: Tensor, *, power: float = 2.0) -> Tensor:
    """Mean over the grid of (unit(energy(output)) - unit(energy(target)))^2, (B,); energy = mean over C of |f|^power.

    output (B, C, h, w), averaged down to the signal's grid first; target (B, C', h', w'), or its energy map (B, h', w')
    as `energy_map` makes it. A student's grid that is coarser is an error: the signal would have to be invented.
    Zagoruyko and Komodakis 2017, arXiv 1612.03928; pooling as in the usual reference implementation.
    """
    if output.ndim != 4 or target.ndim not in (3, 4) or len(output) != len(target):
        raise StageError(
            "attention_transfer: needs (B, C, h, w) and (B, C', h', w') or an energy map (B, h', w'); they are "
            f"{tuple(output.shape)} and {tuple(target.shape)}"
        )
    student = _onto(at_least_float32(output), (target.shape[-2], target.shape[-1]))
    teacher = at_least_float32(target)
    teacher = energy_map(teacher, power=power) if target.ndim == 4 else teacher
    difference = unit(energy_map(student, power=power).flatten(1)) - unit(teacher.flatten(1))
    return difference.square().mean(dim=1)


def energy_map(values: Tensor, *, power: float = 2.0) -> Tensor:
    """Mean over channels of |values|^power, (B, h, w) of (B, C, h, w), divided by each row's largest to stay finite.

    Only its shape counts where it is used. StageError unless power > 1: below, it has no gradient at 0.
    """
    if power <= 1:
        raise StageError(f"energy map: power is {power:g}, it must be above 1")
    largest = values.detach().abs().amax(dim=(1, 2, 3), keepdim=True)
    return (values / largest.where(largest > 0, 1.0)).abs().pow(power).mean(dim=1)


def _onto(values: Tensor, grid: tuple[int, int]) -> Tensor:
    """`values` (B, C, h, w) averaged onto a grid that is no finer."""
    if tuple(values.shape[-2:]) == grid:
        return values
    if values.shape[-2] < grid[0] or values.shape[-1] < grid[1]:
        raise StageError(
            f"attention_transfer: the student's grid {tuple(values.shape[-2:])} is coarser than the signal's {grid}; "
            "take an earlier layer of the student, or a later one of the teacher"
        )
    pooled: Tensor = functional.adaptive_avg_pool2d(values, grid)
    return pooled
