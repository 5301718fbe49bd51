"""One output and its target, brought together in a step: reduced, cut to the same tokens, put on one grid, projected.

What is done was decided before the first step (`meeting`); here are tensors. A mask (B, T) is True for tokens that
count. Padding of either side is never among them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ....cache.codecs import Ragged, TokenLogits
from ...capture.ragged import real_mask
from ...capture.reduction import REDUCTIONS
from ...capture.spans import Span
from ...errors import StageError
from ..mismatch.heads import head_mean
from ..mismatch.tokens import onto_coarser
from ..mismatch.vocabulary import SharedTokens
from ..stream.batch import Target
from .spans import span_tokens, tokens_of_span

Shape = tuple[int, ...]
POOLED = ("mean", "last", "cls")  # reductions that leave no tokens


@dataclass(frozen=True, slots=True)
class Facing:
    """How an output meets its target. `signal` None: the student's output `own_target` is the target.

    `axes` of a row count tokens on both sides; () where nothing does. `mask` names the student's input or output that
    says which tokens are real. `selects`: the output is of whole rows, and the signal of one span alone. `saying`: the
    tokens are logits, which say the token after them. `apart`: the two sides have tokens of their own, which the loss
    pairs. `shapes` of one row when projector or loss gets them.
    """

    output: str
    signal: str | None
    shapes: tuple[Shape, Shape]
    own_target: str | None = None
    reduce: str = "none"
    axes: tuple[int, ...] = ()
    mask: str | None = None
    span: Span | None = None
    spans: str = "spans"
    selects: bool = False
    saying: bool = False
    heads: bool = False
    grid: bool = False
    apart: bool = False
    vocabulary: SharedTokens | None = None


@dataclass(frozen=True, slots=True)
class Faced:
    """Both sides, (B, ...), and which tokens count; None where all do. `target_mask` is there for sides apart alone."""

    output: Tensor
    target: Target
    mask: Tensor | None = None
    target_mask: Tensor | None = None


def face(
    facing: Facing,
    outputs: Mapping[str, Tensor],
    signals: Mapping[str, Target],
    masks: Mapping[str, Tensor],
    look: bool,
) -> Faced:
    """The two sides in one form. `look`: tokens are held against each other, for which a device is waited for.

    Raises StageError for rows of the student that have other tokens than the signal's.
    """
    output, own = outputs[facing.output], None if facing.mask is None else masks[facing.mask] != 0
    target = _target(facing, outputs, signals)
    if facing.span is not None:
        spans = signals[facing.spans]
        assert isinstance(spans, Ragged)
        width = output.shape[1 + (facing.axes[0] if facing.axes else 0)]
        if look and own is not None:
            check_tokens(own, spans_end(spans), facing.output, facing.spans)
        of_span = span_tokens(spans, width, facing.span, facing.saying)
        own = of_span if own is None else of_span & own[:, :width]
    if facing.selects and own is not None:
        output, own = tokens_of_span(output, own)
    if facing.reduce != "none":
        output = _reduced(output, facing.reduce, own)
        own = None if facing.reduce in POOLED else own
    return _in_one_form(facing, _aligned(facing, output, target, own, look))


def _target(facing: Facing, outputs: Mapping[str, Tensor], signals: Mapping[str, Target]) -> Target:
    if facing.own_target is not None:
        return outputs[facing.own_target].detach()
    assert facing.signal is not None
    return signals[facing.signal]


def _aligned(facing: Facing, output: Tensor, target: Target, own: Tensor | None, look: bool) -> Faced:
    """Both sides cut to as many tokens, and the tokens that count on both."""
    if facing.selects and isinstance(target, Tensor) and facing.axes:
        target = Ragged(target, torch.full((len(target),), target.shape[1], device=target.device))
    if not isinstance(target, Ragged | TokenLogits):
        return Faced(output, target, own)
    if look and own is not None and (facing.span is None or facing.selects) and not facing.apart:
        check_tokens(own, target.lengths, facing.output, facing.signal or "")
    if isinstance(target, TokenLogits):
        return _sparse_tokens(output, target, own)
    if facing.apart:
        return Faced(output, target.values, own, real_mask(target))
    values = target.values
    tokens = min(output.shape[facing.axes[0] + 1], values.shape[facing.axes[0] + 1])
    for axis in facing.axes:
        output, values = output.narrow(axis + 1, 0, tokens), values.narrow(axis + 1, 0, tokens)
    real = torch.arange(tokens, device=values.device) < target.lengths[:, None]
    return Faced(output, values, real if own is None else real & own[:, :tokens])


def _sparse_tokens(output: Tensor, target: TokenLogits, own: Tensor | None) -> Faced:
    """The classes that are kept of each of the student's tokens, and the tokens that count on both sides."""
    tokens = output.shape[1]
    real = torch.arange(tokens, device=output.device) < target.lengths[:, None]
    return Faced(output, target.padded(tokens), real if own is None else real & own)


def _in_one_form(facing: Facing, faced: Faced) -> Faced:
    output, target = faced.output, faced.target
    if facing.heads:
        output, target = head_mean(output), head_mean(_dense(target))
    if facing.grid:
        output, target = onto_coarser(output, _dense(target))
    return Faced(output, target, faced.mask, faced.target_mask)


def _dense(target: Target) -> Tensor:
    assert isinstance(target, Tensor)
    return target


def _reduced(output: Tensor, reduce: str, real: Tensor | None) -> Tensor:
    """The output as the signal was reduced, over the tokens that count alone."""
    if real is None or reduce not in POOLED:
        return REDUCTIONS[reduce](output)
    if reduce == "mean":
        total = output.masked_fill(~real.unsqueeze(-1), 0.0).sum(dim=1)
        return total / real.sum(dim=1, keepdim=True).clamp_min(1).to(total.dtype)
    place = torch.arange(real.shape[1], device=real.device)
    if reduce == "last":
        chosen = torch.where(real, place, -1).amax(dim=1).clamp_min(0)
    else:
        chosen = torch.where(real, place, real.shape[1] - 1).amin(dim=1)
    found: Tensor = output[torch.arange(len(output), device=output.device), chosen]
    return found


def spans_end(spans: Ragged) -> Tensor:
    """The tokens of each row, (B,), as its runs say them."""
    real = torch.arange(spans.values.shape[1], device=spans.values.device) < spans.lengths[:, None]
    found: Tensor = spans.values[:, :, 2].masked_fill(~real, 0).amax(dim=1).to(torch.int64)
    return found


def check_tokens(own: Tensor, lengths: Tensor, output: str, signal: str) -> None:
    """Raise StageError unless each row of the student has the signal's tokens, in front, or is full and was cut."""
    count, width = own.sum(dim=1), own.shape[1]
    holes = (own != (torch.arange(width, device=own.device) < count[:, None])).any(dim=1)
    wrong = holes | ((count != lengths) & ~((count == width) & (lengths > width)))
    if bool(wrong.any()):
        row = int(wrong.to(torch.uint8).argmax())
        how = "not in front" if bool(holes[row]) else f"{int(count[row])}"
        raise StageError(
            f"output {output!r} and signal {signal!r} have other tokens: row {row} of the batch has "
            f"{int(lengths[row])} in the signal, and the student's are {how}. Both must read the same tokens "
            "(tokenizer, max_tokens), with padding behind; for another tokenizer use a reduced signal, or uld"
        )
