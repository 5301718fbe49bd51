"""RKD: the student keeps the distances and the angles between the rows of a batch, whatever its width.

Each row gets the share of which it is the anchor, so that the mean over rows is the paper's value. Park et al. 2019,
"Relational Knowledge Distillation", arXiv 1904.05068.
"""

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

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
    parts = [
        checkpoint(_angle_rows, student, teacher, start, anchors, use_reentrant=False)
        for start in range(0, rows, anchors)
    ]
    return torch.cat(parts)


def rkd(output: Tensor, target: Tensor, *, distance: float = 25.0, angle: float = 50.0) -> Tensor:
    """distance * rkd_distance + angle * rkd_angle, (B,). The defaults are the paper's weights."""
    return distance * rkd_distance(output, target) + angle * rkd_angle(output, target)


def _distances(rows: Tensor) -> Tensor:
    """(B, B) distances over their mean. Not by way of products, which lose small distances between long vectors."""
    scaled = below_one(rows)
    distances = torch.cdist(scaled, scaled, compute_mode="donot_use_mm_for_euclid_dist")
    return distances / (distances.sum() / (distances > 0).sum().clamp_min(1)).where(distances.any(), 1.0)


def _angle_rows(student: Tensor, teacher: Tensor, start: int, anchors: int) -> Tensor:
    """(anchors,) the loss of the anchors from `start` on."""
    stop = min(start + anchors, len(student))
    found, wanted = _cosines(student, start, stop), _cosines(teacher, start, stop)
    return functional.smooth_l1_loss(found, wanted, reduction="none").mean(dim=(1, 2))


def _cosines(rows: Tensor, start: int, stop: int) -> Tensor:
    """(stop - start, B, B) cosines between the directions from an anchor to two rows; 0 where a direction is none."""
    directions = unit(rows.unsqueeze(0) - rows[start:stop].unsqueeze(1))
    return directions @ directions.transpose(1, 2)
