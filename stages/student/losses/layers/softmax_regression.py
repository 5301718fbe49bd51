"""SRRL: the teacher's own classifier judges the student's features."""

from torch import Tensor
from torch.nn import functional

from ....errors import StageError
from ..pairing import equal_pair
from ..precision import alike, full_precision


@full_precision
def srrl(output: Tensor, target: Tensor, *, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Mean over classes of (W output + b - target)^2, (B,); output (B, d) at the teacher's width, target (B, C) logits.

    `weight` (C, d) and `bias` (C,) are the teacher's last layer and are not trained. Bring the student's features to
    its width with a projector, and add `mse` to the teacher's pooled features, the paper's other term. 0 where the
    student's features give the teacher's logits. Yang et al. 2021, "Knowledge distillation via softmax regression
    representation learning", ICLR.
    """
    if weight.ndim != 2 or output.ndim != 2 or weight.shape[1] != output.shape[1]:
        raise StageError(
            f"srrl: features are {tuple(output.shape)} and the teacher's head is {tuple(weight.shape)}; a projector to "
            f"width {weight.shape[-1]} is needed"
        )
    student, matrix, offset = alike(output, weight.detach(), weight.new_zeros(()) if bias is None else bias.detach())
    judged = functional.linear(student, matrix) + offset
    judged, teacher = equal_pair(judged, target, "srrl")
    return (judged - teacher).square().mean(dim=1)
