"""The model card of the small CLIP."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

_CARD = """# A small CLIP for emoji, the teacher of the recipe `clip_small`

| | |
|---|---|
| Architecture | `CLIPModel`: pictures of 32 x 32 in 16 patches, {vision} vision and {text} text layers of width 128, \
{heads} heads, a space of 128 |
| Parameters | {parameters:,} |
| Tokenizer | whole words of the training captions: {vocabulary:,} ids, at most 16 tokens with start and end |
| Trained on | {pairs:,} pairs, from random weights: the 3,000 training pairs of [emoji](../emoji/README.md), and \
others that are not shipped |
| Training | {settings}; {seconds:.0f} s of CPU on {threads} thread(s) of a shared x86-64 machine |
| Licence | Apache-2.0, as the rest of this repository |
| Files | `config.json`, `model.safetensors` (float16; compute in float32), `preprocessor_config.json`, \
`tokenizer.json` |

| held out, % right | {columns} |
|---|{rule}
{rows}

Among all pairs of the set, by the first caption, which is the concept's name. Zero-shot: which of nine groups
(`a picture of food`), never told in training. No held-out picture went into training or chose when to stop.
The pairs that are not shipped: the known concepts in an older Noto and in Fluent with shades, and further concepts,
none of a family that `unseen-concepts` has. So the teacher knows pictures near those of `seen`, and no student does.
Made by `make sample-teacher RECIPE=clip_small`.
"""


def write_card(
    folder: Path,
    recipe: Any,
    model: Any,
    pairs: int,
    found: Mapping[str, Mapping[str, float]],
    seconds: float,
    threads: int,
) -> None:
    """Writes README.md beside the weights; shares in percent, time in seconds."""
    names = list(next(iter(found.values())))
    rows = [
        f"| {split} | " + " | ".join(f"{right[name]:.1f}" for name in names) + " |" for split, right in found.items()
    ]
    text, vision = model.config.text_config, model.config.vision_config
    card = _CARD.format(
        vision=vision.num_hidden_layers,
        text=text.num_hidden_layers,
        heads=text.num_attention_heads,
        vocabulary=text.vocab_size,
        pairs=pairs,
        parameters=model.num_parameters(),
        settings=", ".join(f"{name} {value}" for name, value in asdict(recipe).items()),
        seconds=seconds,
        threads=threads,
        columns=" | ".join(names),
        rule="---|" * len(names),
        rows="\n".join(rows),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
