"""DIST: the student's predictions need only correlate with the teacher's, in each row and in each class."""

import torch
from torch import Tensor

from ..pairing import equal_pair


def dist(output: Tensor, target: Tensor, *, temperature: float = 1.0, beta: float = 1.0, gamma: float = 1.0) -> Tensor:
    """T^2 (beta inter + gamma intra), (B,); both (B, C) logits. Paper: beta = gamma = 2 on ImageNet, T = 1.

    inter: 1 - Pearson correlation of the row's softmaxes. intra: 1 - that of each class over the batch, of which every
    row gets its share, so that the mean over rows is the paper's value; it says nothing for a batch of one row.
    Huang et al. 2022, "Knowledge Distillation from A Stronger Teacher", arXiv 2205.10536.
    """
    student, teacher = equal_pair(output, target, "dist")
    q, p = (student / temperature).softmax(dim=-1), (teacher / temperature).softmax(dim=-1)
    inter = 1 - (_standard(q, -1) * _standard(p, -1)).sum(dim=-1)
    return temperature**2 * (beta * inter + gamma * _shares(_standard(q, 0), _standard(p, 0)))


def _shares(student: Tensor, teacher: Tensor) -> Tensor:
    """(B,) each row's share of 1 - the mean over classes of student . teacher, which are (B, C).

    As 1 - s . t = |s - t|^2 / 2 + (1 - |s|^2) / 2 + (1 - |t|^2) / 2: the first part belongs to rows, so that a row that
    agrees has 0, and the others are 0 but for classes that are constant.
    """
    rows, classes = student.shape
    apart = (student - teacher).square().sum(dim=-1) * rows / (2 * classes)
    missing = 1 - (student.square().sum() + teacher.square().sum()) / (2 * classes)
    return apart + missing


def _standard(probability: Tensor, dim: int) -> Tensor:
    """Centred over `dim` and of length one. What varies by rounding alone is constant: left near 0, as short as it is.

    Divided by its length, it would correlate by chance, and a student that says the same of everything (whose last
    layer starts at zero) would have a gradient of 1e8.
    """
    centred = probability - probability.mean(dim=dim, keepdim=True)
    length: Tensor = torch.linalg.vector_norm(centred, dim=dim, keepdim=True)
    whole: Tensor = torch.linalg.vector_norm(probability, dim=dim, keepdim=True)
    rounding = 8 * torch.finfo(probability.dtype).eps * whole
    return centred / length.where(length > rounding, 1.0)
