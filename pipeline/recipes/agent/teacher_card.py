"""The model card of the agent's teacher."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

_CARD = """# A small multimodal agent, the teacher of the recipe `agent`

| | |
|---|---|
| Architecture | `teachercache.pipeline.recipes.agent.teacher:load_agent`: {layers} |
| Parameters | {parameters:,} |
| Inputs | `image` float (B, 3, 64, 64) in [0, 1]; `tokens` int64 (B, {tokens}), 0 is padding |
| Trained on | {scenes:,} canvases that are not shipped, from random weights, in the styles Noto, Twemoji and Fluent |
| Training | {settings}; {seconds:.0f} s on {threads} thread(s) of a shared x86-64 machine |
| Licence | Apache-2.0, as the rest of this repository |
| Files | `config.json`, `model.safetensors` (float16; computed in float32) |

| % right | cell | action | answer |
|---|---|---|---|
{rows}

An action is right when the cell is, and the click lies within 1.25 pixels of the icon's centre on both axes. The
answer is right when it names what lies in the right cell. No shipped canvas went into training or chose when to stop;
the seen styles' icons did, drawn in other scenes, and the unseen style's never. Beside the answers the teacher was
told what lies in every cell, which no student is. Made by `make sample-teacher RECIPE=agent`.
"""
_LAYERS = (
    "four convolutions to 16 cell tokens of width {width}, text layers: {text_layers}, fusion layers: {fusion_layers} "
    "with {heads} heads (cells look at words, then at cells), a pointer"
)
_NAMES = {"train": "shipped training canvases", "seen": "held out, seen styles", "unseen": "held out, unseen style"}


def write_card(
    folder: Path,
    recipe: Any,
    shape: Any,
    parameters: int,
    found: Mapping[str, Mapping[str, float]],
    seconds: float,
    threads: int,
) -> None:
    """Writes README.md beside the weights; shares in percent, time in seconds."""
    settings = ", ".join(f"{name} {value}" for name, value in asdict(recipe).items() if name != "scenes")
    rows = "\n".join(
        f"| {_NAMES[split]} | {right['cell']:.1f} | {right['action']:.1f} | {right['answer']:.1f} |"
        for split, right in found.items()
    )
    text = _CARD.format(
        parameters=parameters,
        rows=rows,
        settings=settings,
        seconds=seconds,
        threads=threads,
        scenes=recipe.scenes,
        layers=_LAYERS.format(**asdict(shape)),
        tokens=shape.tokens,
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
