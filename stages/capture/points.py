"""The names of the points at which a model is heard, and what each of them means.

- `logits`: what the model returns under that name, (B, classes).
- `embedding`: what enters the classifier head, (B, width), the pooled feature.
- `hidden.N`: `hidden_states[N]` exactly as transformers counts them: 0 is what enters the first layer (ViT: patches
  with positions; ResNet: the stem), -1 the last one, which for ViT comes before the final layer norm.
- `attention.N`: the attention probabilities of layer N, (B, heads, T, T), before dropout.
- `qkv.N`: queries, keys and values of layer N as they enter its attention, (B, 3, heads, T, d); queries not yet scaled.
- `qk.N`: what `codec: factored` keeps of attention.N, a `QueryKey`; nothing else takes it.
- `image_embeds`, `text_embeds`: what a model of two towers projects into their common space, (B, width), un-normalised;
  `vision.hidden.N`, `text.attention.N` and so on: the same inside one tower.
- `hidden.N.SPAN`, `logits.SPAN`: the tokens of one span alone (text, image or action) of a vision-language model;
  `attention.N.text-image`: what the text tokens (queries) see of the image tokens (keys), and so on for any two spans.
- any other name is a module's path (`layer3.1.conv2`): what that module returns.

N may be negative. Where the model is called with an attention_mask (B, T), all but logits without tokens and embeddings
are heard as `Ragged`, real tokens first. This file parses names and knows no model.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, cast

from ..errors import StageError

Kind = Literal["logits", "embedding", "embeds", "hidden", "attention", "qkv", "qk", "module"]
_PATTERN = re.compile(
    r"(?P<whole>logits|embedding)|(?P<embeds>(?:image|text)_embeds)"
    r"|(?P<spoken>logits)\.(?P<said>text|action)"
    r"|(?P<mixed>hidden|attention)\.(?P<layer>-?\d+)\.(?P<span>(?:text|image|action)(?:-(?:text|image|action))?)"
    r"|(?:(?P<part>vision|text)\.)?(?P<layered>hidden|attention|qkv|qk)\.(?P<index>-?\d+)"
)
_PATH = re.compile(r"\w+(\.\w+)*")
_FORMS = ("logits", "embedding", "hidden.-1", "attention.-1", "qkv.-1")


@dataclass(frozen=True, slots=True)
class Point:
    """One capture point. `index` is the layer of a layer's point, else 0; `part` the tower it is in, `span` the tokens
    that are kept, each "" for none."""

    name: str
    kind: Kind
    index: int = 0
    part: str = ""
    span: str = ""


def parse_point(name: str, paths: bool = False) -> Point:
    """The point that a name means; with `paths` a name may be a module's path.

    Raises StageError, with the nearest forms, for a name that means none.
    """
    match = _PATTERN.fullmatch(name)
    if match is not None and (match["mixed"] == "attention") == ("-" in (match["span"] or "")):
        kind = "embeds" if match["embeds"] else match["whole"] or match["spoken"] or match["mixed"] or match["layered"]
        span = match["said"] or match["span"] or ""
        return Point(name, cast(Kind, kind), int(match["layer"] or match["index"] or 0), match["part"] or "", span)
    if paths and _PATH.fullmatch(name):
        return Point(name, "module")
    raise StageError(unknown_point(name, _FORMS))


def unknown_point(name: str, known: Iterable[str]) -> str:
    """What to say of a name that means no point; `known` are names that it may have been meant for."""
    forms = "logits, embedding, hidden.N, attention.N and qkv.N (N counts layers and may be negative)"
    return (
        f"there is no capture point {name!r}{nearest(name, known)}; points are {forms}, or a module's path in a teacher"
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """`, did you mean 'x' or 'y'?` for the known names closest to `name`; empty when none is close."""
    close = get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f", did you mean {' or '.join(map(repr, close))}?" if close else ""


def point_range(kind: Kind, count: int) -> str:
    """How the points of a kind are called when a model has `count` of them."""
    if count == 0:
        return f"no {kind}.N"
    return f"{kind}.0" if count == 1 else f"{kind}.0 to {kind}.{count - 1}"
