"""Builds a multimodal student from its arguments, and refuses those that do not fit together."""

from collections.abc import Mapping, Sequence

from torch import nn

from ....errors import StageError
from ...inputs.shape import InputShape
from .attention import Fusion, Layer
from .eyes import build_eyes
from .given import check_names, head_sizes, one_input, refuse_others
from .heads import Exit, Heads
from .multimodal import Multimodal

_WHO = "multimodal"


def build_multimodal(
    inputs: Mapping[str, InputShape],
    classes: int,
    outputs: frozenset[str],
    width: int = 48,
    attention_heads: int = 4,
    mlp: int = 96,
    text_layers: int = 1,
    vision: str = "conv",
    vision_widths: Sequence[int] = (16, 24, 32, 48),
    vision_stride: int = 1,
    patch: int = 8,
    vision_layers: int = 0,
    fusion_layers: int = 1,
    heads: Mapping[str, int] | None = None,
    pointer: str | None = "cell",
    exits: Sequence[int] = (),
) -> Multimodal:
    """`width`, `attention_heads` and `mlp` of every layer; `vision` conv (with `vision_widths`, the first convolution
    striding `vision_stride` pixels) or patch (with `patch`); `heads` {output: width}; `pointer` names the head that
    points at cells of the image, where there is one of that name; `exits` after fusion layers say what the pointer or
    the first head says.

    Raises StageError unless it is given one image and one text, and for numbers that do not fit.
    """
    names = one_input(inputs, ("image",), _WHO), one_input(inputs, ("tokens",), _WHO)
    refuse_others(inputs, names, _WHO)
    sizes = head_sizes(heads, classes, _WHO)
    point = pointer if pointer in sizes else None
    image, text = inputs[names[0]], inputs[names[1]]
    if None in image.shape or text.vocabulary is None or text.longest is None:
        raise StageError(f"inputs: {_WHO} needs an image of one size, and a text with a vocabulary and max_tokens")
    if any(number not in range(1, fusion_layers) for number in exits):
        raise StageError(f"args.exits: of {fusion_layers} fusion layers exits are after 1 to {fusion_layers - 1}")
    counts = {"text": text_layers, "vision": vision_layers, "fusion": fusion_layers}
    check_names(outputs, (*sizes, *_points(counts), *(f"exit.{number}" for number in exits)), _WHO)
    seen = int(image.shape[0] or 0), int(image.shape[1] or 0)
    eyes = build_eyes(*seen, vision, vision_widths, patch, width, vision_stride)
    layers = {
        part: nn.ModuleList((Fusion if part == "fusion" else Layer)(width, attention_heads, mlp) for _ in range(count))
        for part, count in counts.items()
    }
    first = point or next(iter(sizes))
    early = {str(n): Exit(width, first, sizes[first], point is not None, eyes.side) for n in exits}
    words, all_heads = nn.Embedding(text.vocabulary, width), Heads(width, sizes, point, eyes.side)
    return Multimodal(names, words, text.longest, eyes, layers, all_heads, nn.ModuleDict(early))


def _points(counts: Mapping[str, int]) -> list[str]:
    towers = [
        f"{part}.{kind}.{number}"
        for part in ("text", "vision")
        for kind, more in (("hidden", 1), ("attention", 0))
        for number in range(counts[part] + more)
    ]
    fused = [
        f"fusion.{what}.{number + (what != 'attention')}"
        for what in ("attention", "text", "image")
        for number in range(counts["fusion"])
    ]
    return ["embedding", *towers, *fused]
