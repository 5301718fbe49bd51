"""ReviewKD's hierarchical context loss: feature maps compared at full size and pooled to 4, 2 and 1."""

from torch import Tensor
from torch.nn import functional

from ..pairing import equal_pair, map_pair


def hcl(output: Tensor, target: Tensor) -> Tensor:
    """Weighted mean of the mse of the maps and of their averages on 4x4, 2x2 and 1x1, (B,); both (B, C, h, w).

    Weights 1, 1/2, 1/4, 1/8 for the levels that are smaller than h, divided by their sum. Chen et al. 2021, "Distilling
    Knowledge via Knowledge Review", arXiv 2104.09044. The paper feeds it from fused maps: `ReviewFusion` in mismatch.
    """
    map_pair(output, target, "hcl")
    student, teacher = equal_pair(output, target, "hcl")
    difference = student - teacher  # pooling is linear: one map is pooled and not two
    total, weights = difference.square().flatten(1).mean(dim=1), [1.0]
    for side in (4, 2, 1):
        if side < difference.shape[-2]:
            weights.append(weights[-1] / 2)
            pooled = functional.adaptive_avg_pool2d(difference, side)
            total = total + weights[-1] * pooled.square().flatten(1).mean(dim=1)
    return total / sum(weights)
