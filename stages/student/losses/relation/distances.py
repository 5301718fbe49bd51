"""RKD: the student keeps the distances and the angles between the rows of a batch, whatever its width.

Each row gets the share of which it is the anchor, so that the mean over rows is the paper's value. Park et al. 2019,
"Relational Knowledge Distillation", arXiv 1904.05068.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from ..pairing import row_pair
from ..precision import full_precision
from ..unit import below_one, unit

_CHUNK = 1 << 22  # numbers in one tensor of angles: 16 MB in float32, of which about ten live at a time


@full_precision
def rkd_distance(output: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch of smooth L1 between distances to the row, (B,); (B, ...) and (B, ...), rows are flattened.

    Distances are Euclidean, divided by the mean of those that are not 0, on each side. Paper: weight 25.
    """
    student, teacher = row_pair(output, target, "rkd_distance")
    return functional.smooth_l1_loss(_distances(student), _distances(teacher), reduction="none").mean(dim=1)


@full_precision
def rkd_angle(output: Tensor, target: Tensor) -> Tensor:
    """Mean over pairs of rows of smooth L1 between the cosines of the angles that they make at the row, (B,).

    (B, ...) and (B, ...), rows are flattened. Paper: weight 50. The B^3 angles are made a few anchors at a time, and
    once more on the way back, so memory grows with B^2; time grows with B^3 d.
    """
    student, teacher = row_pair(output, target, "rkd_angle")
    student, teacher = below_one(student), below_one(teacher)
    rows = len(student)
    anchors = max(1, _CHUNK // (rows * max(rows, student.shape[1], teacher.shape[1])))
    if anchors >= rows:
        return _angle_rows(student, teacher, 0, rows)
    found: Tensor = _AnglesInPieces.apply(student, teacher, anchors)  # type: ignore[no-untyped-call]
    return found


def rkd(output: Tensor, target: Tensor, *, distance: float = 25.0, angle: float = 50.0) -> Tensor:
    """distance * rkd_distance + angle * rkd_angle, (B,). The defaults are the paper's weights."""
    return distance * rkd_distance(output, target) + angle * rkd_angle(output, target)


def _distances(rows: Tensor) -> Tensor:
    """(B, B) distances over their mean. Not by way of products, which lose small distances between long vectors."""
    scaled = below_one(rows)
    distances = torch.cdist(scaled, scaled, compute_mode="donot_use_mm_for_euclid_dist")
    return distances / (distances.sum() / (distances > 0).sum().clamp_min(1)).where(distances.any(), 1.0)


class _AnglesInPieces(torch.autograd.Function):
    """`_angle_rows` of all rows, a few anchors at a time. Keeps only its inputs, and counts anew on the way back.

    (torch.utils.checkpoint does the same, but keeps small things of every piece; between them the memory of the large
    ones cannot be used again, and a process that needs 0.1 GB grew to 8.)
    """

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, anchors: int) -> Tensor:
        ctx.save_for_backward(student, teacher)
        ctx.anchors = anchors
        found = student.new_empty(len(student))
        for start in range(0, len(student), anchors):
            found[start : start + anchors] = _angle_rows(student, teacher, start, anchors)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        sides = [values.detach().requires_grad_(ctx.needs_input_grad[i]) for i, values in enumerate(ctx.saved_tensors)]
        wanted = [values for values in sides if values.requires_grad]
        totals = [torch.zeros_like(values) for values in wanted]
        with torch.autocast(gradient.device.type, enabled=False):
            for start in range(0, len(gradient), ctx.anchors):
                with torch.enable_grad():
                    rows = _angle_rows(sides[0], sides[1], start, ctx.anchors)
                parts = torch.autograd.grad(rows, wanted, gradient[start : start + len(rows)])
                for total, part in zip(totals, parts, strict=True):
                    total += part
        found = iter(totals)
        return *(next(found) if values.requires_grad else None for values in sides), None


def _angle_rows(student: Tensor, teacher: Tensor, start: int, anchors: int) -> Tensor:
    """(anchors,) the loss of the anchors from `start` on."""
    stop = min(start + anchors, len(student))
    found, wanted = _cosines(student, start, stop), _cosines(teacher, start, stop)
    return functional.smooth_l1_loss(found, wanted, reduction="none").mean(dim=(1, 2))


def _cosines(rows: Tensor, start: int, stop: int) -> Tensor:
    """(stop - start, B, B) cosines between the directions from an anchor to two rows; 0 where a direction is none."""
    directions = unit(rows.unsqueeze(0) - rows[start:stop].unsqueeze(1))
    return directions @ directions.transpose(1, 2)
