"""KL between distributions given by their logs: the one place that knows what 0 log 0 is."""

import torch
from torch import Tensor


def relative_entropy(log_p: Tensor, log_q: Tensor) -> Tensor:
    """sum p (log p - log q) over the last axis, in nats. Where p is 0 the term is 0, and so is its gradient.

    Infinite where q is 0 and p is not: a class that only one side excludes (a logit of -inf).
    """
    probability = log_p.exp()
    present = probability > 0
    difference = log_p.where(present, 0.0) - log_q.where(present, 0.0)
    return torch.where(present, probability * difference, torch.zeros_like(probability)).sum(dim=-1)
