"""Cross-entropy against labels. The only loss that needs labels, and the only one a labels-only control keeps."""

from torch import Tensor
from torch.nn import functional

from .precision import at_least_float32


def cross_entropy(output: Tensor, labels: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """-log softmax(output)[label] per sample, (B,); output (B, C) logits, labels (B,) int64 in [0, C).

    `label_smoothing` e mixes the label with the uniform distribution, (1 - e) * one_hot + e / C
    (Szegedy et al. 2016, arXiv 1512.00567).
    """
    logits = at_least_float32(output)
    return functional.cross_entropy(logits, labels, reduction="none", label_smoothing=label_smoothing)
