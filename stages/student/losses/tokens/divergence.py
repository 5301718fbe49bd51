"""Divergences between two distributions for every token: forward and reverse KL, Jensen, skewed KL, total variation.

All take logits (B, C), or (B, T, V) with a mask (B, T) that is True for tokens that count, and an `average` over tokens
(see masking). All are multiplied by T^2, and are 0 where student and teacher agree.
"""

from math import inf, log, log1p

import torch
from torch import Tensor

from ....errors import StageError
from ..masking import Average, blank, check_mask, token_mean
from ..pairing import equal_pair
from ..relative_entropy import relative_entropy


def forward_kl(
    output: Tensor, target: Tensor, *, temperature: float = 1.0, mask: Tensor | None = None, average: Average = "row"
) -> Tensor:
    """T^2 KL(p || q) per token, (B,). It is `kl` for tokens. Hinton et al. 2015, arXiv 1503.02531."""
    log_q, log_p = _logs(output, target, temperature, mask, "forward_kl")
    return temperature**2 * token_mean(relative_entropy(log_p, log_q), mask, average)


def reverse_kl(
    output: Tensor, target: Tensor, *, temperature: float = 1.0, mask: Tensor | None = None, average: Average = "row"
) -> Tensor:
    """T^2 KL(q || p) per token, (B,): the student keeps to what the teacher finds likely.

    Infinite where the teacher excludes a class (a logit of -inf). Offline, on the data's own tokens; the sampling from
    the student of MiniLLM (Gu et al. 2024, arXiv 2306.08543) cannot be cached.
    """
    log_q, log_p = _logs(output, target, temperature, mask, "reverse_kl")
    return temperature**2 * token_mean(relative_entropy(log_q, log_p), mask, average)


def jensen(
    output: Tensor,
    target: Tensor,
    *,
    temperature: float = 1.0,
    beta: float = 0.5,
    mask: Tensor | None = None,
    average: Average = "row",
) -> Tensor:
    """T^2 (beta KL(p || m) + (1 - beta) KL(q || m)), m = beta p + (1 - beta) q, per token, (B,).

    The generalised Jensen-Shannon divergence of GKD (Agarwal et al. 2024, arXiv 2306.13649); as in its code beta = 0 is
    forward KL and beta = 1 reverse KL, the limits after division by beta or 1 - beta. DistiLLM's `js_distance(lam)` is
    beta = 1 - lam. StageError for a beta outside 0 to 1.
    """
    if not 0 <= beta <= 1:
        raise StageError(f"jensen: beta is {beta:g}, it must lie between 0 and 1")
    if beta in (0, 1):
        limit = forward_kl if beta == 0 else reverse_kl
        return limit(output, target, temperature=temperature, mask=mask, average=average)
    log_q, log_p = _logs(output, target, temperature, mask, "jensen")
    log_m = _mixed(log_p, log_q, beta)
    per_token = beta * relative_entropy(log_p, log_m) + (1 - beta) * relative_entropy(log_q, log_m)
    return temperature**2 * token_mean(per_token, mask, average)


def skewed_kl(
    output: Tensor,
    target: Tensor,
    *,
    temperature: float = 1.0,
    alpha: float = 0.1,
    mask: Tensor | None = None,
    average: Average = "row",
) -> Tensor:
    """T^2 KL(p || alpha p + (1 - alpha) q) per token, (B,); at most T^2 log(1 / alpha).

    Ko et al. 2024, "DistiLLM", arXiv 2402.03898, equation 3. The authors' code leaves out the teacher's entropy.
    """
    _check_alpha(alpha, "skewed_kl")
    log_q, log_p = _logs(output, target, temperature, mask, "skewed_kl")
    per_token = relative_entropy(log_p, _mixed(log_p, log_q, alpha))
    return temperature**2 * token_mean(per_token, mask, average)


def skewed_reverse_kl(
    output: Tensor,
    target: Tensor,
    *,
    temperature: float = 1.0,
    alpha: float = 0.1,
    mask: Tensor | None = None,
    average: Average = "row",
) -> Tensor:
    """T^2 KL(q || (1 - alpha) p + alpha q) per token, (B,); at most T^2 log(1 / alpha). DistiLLM, arXiv 2402.03898."""
    _check_alpha(alpha, "skewed_reverse_kl")
    log_q, log_p = _logs(output, target, temperature, mask, "skewed_reverse_kl")
    per_token = relative_entropy(log_q, _mixed(log_q, log_p, alpha))
    return temperature**2 * token_mean(per_token, mask, average)


def total_variation(
    output: Tensor, target: Tensor, *, temperature: float = 1.0, mask: Tensor | None = None, average: Average = "row"
) -> Tensor:
    """T^2 sum |p - q| / 2 per token, (B,). Wen et al. 2023, "f-Divergence Minimization", arXiv 2307.15190."""
    log_q, log_p = _logs(output, target, temperature, mask, "total_variation")
    return temperature**2 * token_mean((log_p.exp() - log_q.exp()).abs().sum(dim=-1) / 2, mask, average)


def _logs(output: Tensor, target: Tensor, temperature: float, mask: Tensor | None, name: str) -> tuple[Tensor, Tensor]:
    """log q of the student and log p of the teacher at T; uniform for tokens that do not count."""
    student, teacher = equal_pair(output, target, name)
    check_mask(mask, tuple(student.shape[:-1]), name)
    student, teacher = blank(student, mask), blank(teacher, mask)
    return (student / temperature).log_softmax(dim=-1), (teacher / temperature).log_softmax(dim=-1)


def _mixed(first: Tensor, second: Tensor, share: float) -> Tensor:
    """log(share * e^first + (1 - share) * e^second), without leaving the logs. -inf where both are, without a gradient:
    that of logaddexp would be NaN."""
    excluded = (first == -inf) & (second == -inf)
    first, second = first.masked_fill(excluded, 0.0), second.masked_fill(excluded, 0.0)
    return torch.logaddexp(first + log(share), second + log1p(-share)).masked_fill(excluded, -inf)


def _check_alpha(alpha: float, name: str) -> None:
    if not 0 < alpha < 1:
        raise StageError(f"{name}: alpha is {alpha:g}, it must lie between 0 and 1, neither of them included")
