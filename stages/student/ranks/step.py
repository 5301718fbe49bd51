"""The exchange within a step: gradients and losses of parts of a batch become those of the whole batch."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from .ranks import Ranks

Sums = tuple[Tensor, dict[str, Tensor]]  # the loss, and {term: its value}: sums that add up over parts of a batch


def exchanged(ranks: Ranks, part: Callable[[], Sums], trained: Callable[[], Sequence[Tensor]]) -> Sums:
    """Have every process do its `part` (forward and backward), then sum up losses and the gradients of the `trained`
    parameters over all of them: what one process would have computed of the whole batch.

    A parameter has a gradient when it has one anywhere. Raises RankFailed in every process when one could not do its
    part.
    """
    if ranks.size == 1:
        return part()
    loss, terms = ranks.attempt(part)
    parameters = trained()
    there = ranks.largest([int(one.grad is not None) for one in parameters])
    for parameter, somewhere in zip(parameters, there, strict=True):
        if somewhere and parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    exact = torch.promote_types(parameters[0].dtype, torch.float32)
    values = torch.stack([value.to(exact) for value in (loss, *terms.values())])
    ranks.add_up([*(one.grad for one in parameters if one.grad is not None), values])
    return values[0], dict(zip(terms, values[1:], strict=True))


def follow_buffers(ranks: Ranks, *modules: nn.Module) -> None:
    """Give every process the buffers of the first, such as the statistics of batch norms, which see one part alone."""
    if ranks.size > 1:
        ranks.follow([buffer for module in modules for buffer in module.buffers()])
