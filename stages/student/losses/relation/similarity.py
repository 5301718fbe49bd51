"""SP and PKT: the student keeps which rows of a batch are alike. Widths may differ; rows are flattened.

Each row gets its share, so that the mean over rows is the value of the usual reference implementation.
"""

from torch import Tensor

from ..pairing import row_pair
from ..precision import full_precision
from ..unit import below_one, unit

_EPSILON = 1e-7


@full_precision
def sp(output: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch of (G_output - G_target)^2 for the row, (B,); G = F F^t with rows of length one, F (B, ...).

    Tung and Mori 2019, "Similarity-Preserving Knowledge Distillation", arXiv 1907.09682. Paper: weight 3000.
    """
    student, teacher = row_pair(output, target, "sp")
    return (_gram(student) - _gram(teacher)).square().mean(dim=1)


@full_precision
def pkt(output: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch of p log(p / q) for the row, (B,); p, q the cosine similarities (cos + 1) / 2 over their sum.

    The authors' code takes the mean over all B^2 entries, a Bth of the KL of the paper, and 1e-7 beside p and q; so
    does this. Passalis and Tefas 2018, "Probabilistic Knowledge Transfer", arXiv 1803.10837. Usual weight: 30,000.
    """
    student, teacher = row_pair(output, target, "pkt")
    q, p = _neighbours(student), _neighbours(teacher)
    return (p * ((p + _EPSILON) / (q + _EPSILON)).log()).mean(dim=1)


def _gram(rows: Tensor) -> Tensor:
    scaled = below_one(rows)
    return unit(scaled @ scaled.T)


def _neighbours(rows: Tensor) -> Tensor:
    """(B, B) how likely each row is met beside each other one; rows sum to 1."""
    lengths = unit(rows)
    similarity = (lengths @ lengths.T + 1) / 2
    return similarity / similarity.sum(dim=1, keepdim=True)
