"""Makes the sample shards of `data/samples/emoji`: small pictures with captions.

    python -m teachercache.pipeline.recipes.clip_small.make_samples [--packages DIR] [--output DIR]

The same pictures at each run, from npm packages (the module `emoji.art` says which). Concepts of one family stand on
one side of the split. It downloads nothing and writes no card.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image

from ..emoji.art import PACKAGES, SEEN, STYLES, UNSEEN, Style, on_colour, read_style
from ..emoji.concepts import GROUPS, Concept, in_every_seen_style, read_concepts
from ..emoji.drawing_lots import choose, draw, shuffled
from ..sample_shards import lossless, write_shards
from .retrieval import PROMPTS

SAMPLES = Path("data/samples/emoji")
SIDE, _COLOURS = 32, 32
_CONCEPTS, _NEW, _HELD_OUT = 1300, 200, 300  # all; those that training never shows; pictures of known ones held out
_TRAIN_SHARDS = 6
_TEMPLATES = ("a picture of {}", "an icon of {}", "this is {}")


@dataclass(frozen=True, slots=True)
class Split:
    """Concepts to learn from, those of them that have one picture held out, and those that are new."""

    known: list[Concept]
    held_out: list[Concept]
    new: list[Concept]


def split_concepts(concepts: list[Concept], unseen: Style) -> Split:
    """By family: whole families are new until there are enough new concepts. What has no art in the unseen style is
    never held out."""
    members: dict[str, list[Concept]] = {}
    for concept in concepts:
        members.setdefault(concept.family, []).append(concept)
    kept = [c for name in shuffled(sorted(members), "emoji", "kept") for c in members[name]][:_CONCEPTS]
    new: list[Concept] = []
    for name in shuffled(sorted({c.family for c in kept}), "emoji", "new"):
        family = [c for c in kept if c.family == name]
        if len(family) <= _NEW - len(new):
            new += family
    known = [c for c in kept if c not in set(new)]
    drawn = [c for c in known if c.icon in unseen.names]
    return Split(known, shuffled(drawn, "emoji", "held-out")[:_HELD_OUT], new)


def captions(concept: Concept) -> list[str]:
    """Its name, the name in a sentence, and keywords: up to five texts, the name first."""
    keywords = [word for word in concept.keywords if word != concept.name]
    texts = [concept.name, choose(_TEMPLATES, "emoji", concept.icon, "template").format(concept.name)]
    for number in range(3):
        some = shuffled(keywords, "emoji", concept.icon, "keywords", number)[: 2 + number]
        texts.append(" ".join(some))
    return list(dict.fromkeys(text for text in texts if text))


def make_samples(
    packages: Annotated[Path, typer.Option(help="folder in which npm installed the art")] = PACKAGES,
    output: Annotated[Path, typer.Option(help="folder of the shards")] = SAMPLES,
) -> None:
    """Writes train-*.tar, seen-*.tar, unseen-style-*.tar, unseen-concepts-*.tar and prompts-*.tar."""
    styles = {name: read_style(name, packages) for name in STYLES}
    concepts = in_every_seen_style(read_concepts(packages, styles["noto"]), styles)
    split = split_concepts(concepts, styles[UNSEEN])
    left_out = {(c, SEEN[draw(len(SEEN), "emoji", c.icon, "left out")]) for c in split.held_out}
    train = [(c, name) for c in split.known for name in SEEN if (c, name) not in left_out]
    sets = {
        "train": shuffled(train, "emoji", "order"),
        "seen": sorted(left_out, key=lambda pair: pair[0].icon),
        "unseen-style": [(c, UNSEEN) for c in sorted(split.held_out, key=lambda c: c.icon)],
        "unseen-concepts": [
            (c, choose(SEEN, "emoji", c.icon, "style")) for c in sorted(split.new, key=lambda c: c.icon)
        ],
    }
    size = 0
    for name, pairs in sets.items():
        samples = [_sample(name, concept, styles[style]) for concept, style in pairs]
        size += write_shards(output, name, samples, _TRAIN_SHARDS if name == "train" else 1)
    size += write_shards(output, "prompts", prompt_samples(), 1)
    counts = ", ".join(f"{name} {len(pairs)}" for name, pairs in sets.items())
    print(f"{output}: {len(split.known)} known concepts, {len(split.new)} new ones; {counts}; {size:,} bytes")


def picture(concept: Concept, style: Style) -> np.ndarray:
    """On white, in few colours: uint8 (SIDE, SIDE, 3)."""
    whole = Image.fromarray(on_colour(style.draw(concept.icon, SIDE), (255, 255, 255)))
    return np.asarray(whole.quantize(_COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).convert("RGB"))


def prompt_samples() -> list[dict[str, Any]]:
    """What stands for each group in zero-shot evaluation: texts without a picture."""
    return [
        {"__key__": f"prompt-{name.replace(' ', '-')}", "json": json.dumps([text]).encode(), "cls": str(group).encode()}
        for group, (name, text) in enumerate(zip(GROUPS, PROMPTS, strict=True))
    ]


def _sample(split: str, concept: Concept, style: Style) -> dict[str, Any]:
    sample = {
        "__key__": f"{split}-{concept.icon}-{style.name}",
        "webp": lossless(picture(concept, style)),
        "json": json.dumps(captions(concept), ensure_ascii=False).encode(),
    }
    # The group is for zero-shot evaluation: nothing is trained on it.
    return sample if split == "train" else {**sample, "cls": str(concept.group).encode()}


if __name__ == "__main__":
    typer.run(make_samples)
