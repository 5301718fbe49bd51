"""DIST: the student's predictions need only correlate with the teacher's, in each row and in each class."""

from torch import Tensor

from ..pairing import equal_pair

_EPSILON = 1e-8


def dist(output: Tensor, target: Tensor, *, temperature: float = 1.0, beta: float = 1.0, gamma: float = 1.0) -> Tensor:
    """T^2 (beta inter + gamma intra), (B,); both (B, C) logits. Paper: beta = gamma = 2 on ImageNet, T = 1.

    inter: 1 - Pearson correlation of the row's softmaxes. intra: 1 - that of each class over the batch, of which every
    row gets its share, so that the mean over rows is the paper's value; it says nothing for a batch of one row.
    Huang et al. 2022, "Knowledge Distillation from A Stronger Teacher", arXiv 2205.10536.
    """
    student, teacher = equal_pair(output, target, "dist")
    q, p = (student / temperature).softmax(dim=-1), (teacher / temperature).softmax(dim=-1)
    inter = 1 - (_standard(q, -1) * _standard(p, -1)).sum(dim=-1)
    rows, classes = q.shape
    intra = 1 - rows / classes * (_standard(q, 0) * _standard(p, 0)).sum(dim=-1)
    return temperature**2 * (beta * inter + gamma * intra)


def _standard(probability: Tensor, dim: int) -> Tensor:
    """Centred over `dim`, and of length one. What hardly varies is rounding, and counts as constant: nearly 0."""
    centred = probability - probability.mean(dim=dim, keepdim=True)
    length = centred.square().sum(dim=dim, keepdim=True).clamp_min(_EPSILON**2).sqrt()
    return centred / length
