"""Which tokens of a language model are text, image or action, and the parts of hidden states and maps that are of one.

A row's tokens are of one kind each: text, image (a patch that the projector made), action (an id that says a bin).
Rows are compact: real tokens first, padding after. A model that turns one image id into many embeddings inside its
forward pass has more tokens than its ids; which they are follows from how many more. Counts of image and action tokens
are the same in all rows, so that only text makes rows differ in length; anything else is refused.
"""

from typing import Literal, cast

import torch
from torch import Tensor

from ...cache.codecs import Ragged
from ..errors import StageError

Span = Literal["text", "image", "action"]
SPANS: dict[Span, int] = {"text": 0, "image": 1, "action": 2}
PADDING = -1


def expanded_kinds(kinds: Ragged, lengths: Tensor, tokens: int) -> Tensor:
    """Kinds (B, tokens) of what a language model ran on, -1 for padding; `lengths` (B,) are the real tokens of it.

    `kinds` (B, t) are those of the ids. Raises StageError for rows that became shorter, and for rows that became
    longer and do not have one image id, so that it is not known where they grew.
    """
    more = lengths - kinds.lengths
    image = kinds.values == SPANS["image"]
    wrong = (more < 0) | ((more > 0) & (image.sum(dim=1) != 1))
    if bool(wrong.any()):
        row = int(wrong.to(torch.uint8).argmax())
        raise StageError(
            f"row {row} of the batch has {int(kinds.lengths[row])} ids, {int(image[row].sum())} of them images, and "
            f"the language model ran on {int(lengths[row])} tokens: where the image lies is not known. A model that "
            "expands images in its forward pass takes one image id a row"
        )
    place = torch.arange(tokens, device=lengths.device)[None, :]
    first = image.to(torch.uint8).argmax(dim=1)[:, None]
    more = more[:, None]
    source = torch.where(place > first + more, place - more, torch.minimum(place, torch.maximum(first, place - more)))
    found: Tensor = kinds.values.gather(1, source.clamp(0, kinds.values.shape[1] - 1))
    return found.masked_fill(place >= lengths[:, None], PADDING)


def span_runs(kinds: Tensor) -> Ragged:
    """The runs of equal kind of each row: (B, runs, 3) float32, each kind, first token, one past the last."""
    real = kinds != PADDING
    before = torch.cat([torch.full_like(kinds[:, :1], PADDING), kinds[:, :-1]], dim=1)
    after = torch.cat([kinds[:, 1:], torch.full_like(kinds[:, :1], PADDING)], dim=1)
    starts, ends = real & (kinds != before), real & (kinds != after)
    counts = starts.sum(dim=1)
    place = torch.arange(kinds.shape[1], device=kinds.device).expand_as(kinds)
    columns = (_gathered(kinds, starts), _gathered(place, starts), _gathered(place + 1, ends))
    return Ragged(torch.stack(columns, dim=2).float(), counts)


def predicting(kinds: Tensor) -> Tensor:
    """Kinds (B, T) of the tokens that come next: the logits of a token say the one after it."""
    return torch.cat([kinds[:, 1:], torch.full_like(kinds[:, :1], PADDING)], dim=1)


def span_values(values: Tensor, kinds: Tensor, spans: dict[int, Span]) -> Tensor | Ragged:
    """What `values` (B, ...) say of some spans; `spans` maps an axis of one row to the span that is kept of it.

    A tensor when image or action tokens are kept alone, `Ragged` where text tokens are; its padding is 0.
    """
    lengths: Tensor | None = None
    for axis, span in spans.items():
        of_span = kinds == SPANS[span]
        values = _selected(values, of_span, axis + 1)
        if span == "text":
            lengths = of_span.sum(dim=1)
        else:
            _same_count(of_span.sum(dim=1), span)
    return values if lengths is None else Ragged(values, lengths)


def span_axes(kind: str, span: str, reduce: str) -> tuple[int, ...]:
    """Which axes of one row count text tokens, at a point of this kind and span after this reduction."""
    if kind == "attention" and reduce in ("none", "head-mean"):
        first = 1 if reduce == "none" else 0
        return tuple(first + side for side, name in enumerate(block_spans(span)) if name == "text")
    return (0,) if span == "text" and reduce == "none" else ()


def block_spans(span: str) -> tuple[Span, Span]:
    """Queries and keys of a block, as in `text-image`."""
    rows, _, columns = span.partition("-")
    return cast(Span, rows), cast(Span, columns)


def _same_count(counts: Tensor, span: str) -> None:
    if bool((counts != counts[0]).any()) or int(counts[0]) == 0:
        low, high = int(counts.min()), int(counts.max())
        what = f"there are no {span} tokens" if high == 0 else f"rows have {low} to {high} {span} tokens"
        raise StageError(f"{what}, and every row must have as many: they are kept side by side")


def _selected(values: Tensor, chosen: Tensor, axis: int) -> Tensor:
    """The chosen (B, T) places of `axis`, first; the axis is cut to the longest row, and padded with 0."""
    order, counts = _order(chosen)
    longest = max(1, int(counts.max()))
    shape = [1] * values.ndim
    shape[0], shape[axis] = len(values), longest
    kept = values.take_along_dim(order[:, :longest].reshape(shape), dim=axis)
    real = torch.arange(longest, device=values.device) < counts[:, None]
    return kept.masked_fill(~real.reshape(shape), 0)


def _gathered(values: Tensor, chosen: Tensor) -> Tensor:
    return _selected(values, chosen, 1)


def _order(chosen: Tensor) -> tuple[Tensor, Tensor]:
    """The chosen places of each row, first, in their order, and their number."""
    return torch.argsort(chosen.logical_not().to(torch.uint8), dim=1, stable=True), chosen.sum(dim=1)
