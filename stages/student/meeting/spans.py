"""The tokens of one span, found in a step from the signal that says the runs of a row."""

import torch
from torch import Tensor

from ....cache.codecs import Ragged
from ...capture.spans import SPANS, Span


def span_tokens(spans: Ragged, tokens: int, span: Span, saying: bool = False) -> Tensor:
    """(B, tokens) bool: which tokens are of a span. `spans` holds runs (kind, first, one past the last), (B, runs, 3).

    `saying`: which tokens come before one of the span: their logits say it. A row's first token has none before it.
    """
    kind, start, stop = (spans.values[:, :, column, None] for column in range(3))
    real = torch.arange(spans.values.shape[1], device=spans.values.device) < spans.lengths[:, None]
    place = torch.arange(tokens, device=spans.values.device) + int(saying)
    inside = (place >= start) & (place < stop) & (kind == SPANS[span]) & real[:, :, None]
    found: Tensor = inside.any(dim=1)
    return found


def tokens_of_span(values: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """The chosen tokens of `values` (B, T, ...) moved to the front, and which places (B, T) they fill."""
    order = (~chosen).to(torch.uint8).argsort(dim=1, stable=True)
    moved = values.take_along_dim(order.view(*order.shape, *[1] * (values.ndim - 2)), dim=1)
    return moved, chosen.gather(1, order)
