"""The model card of the small BERT."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

_CARD = """# A small BERT for definitions, the teacher of the recipe `text`

| | |
|---|---|
| Architecture | `BertForSequenceClassification`: three layers of width 96, 4 heads, 4,000 word pieces, \
at most 40 tokens |
| Parameters | {parameters:,} |
| Trained on | {own:,} definitions of WordNet 3.0 that are not shipped, with their topic, from random weights |
| Accuracy | {test:.2f} % on the shipped test shards, {pool:.2f} % on the shipped pool without labels |
| Training | {settings}; {seconds:.0f} s on {threads} thread(s) of a shared x86-64 machine |
| Licence | Apache-2.0, as the rest of this repository; what it learnt from: WordNet's, see \
[NOTICE](../glosses/NOTICE) |
| Files | `config.json`, `model.safetensors` (float16; compute in float32), `tokenizer.json` |

No shipped definition went into training or chose when to stop, so what the teacher says of the pool is no memory of it.
The test shards have each topic equally often, the pool as WordNet does, hence the two accuracies. Made by
`make sample-teacher RECIPE=text`.
"""


def write_card(
    folder: Path, recipe: Any, parameters: int, own: int, test: float, pool: float, seconds: float, threads: int
) -> None:
    """Writes README.md beside the weights; accuracies in percent, time in seconds."""
    settings = ", ".join(f"{name} {value}" for name, value in asdict(recipe).items())
    text = _CARD.format(
        parameters=parameters, own=own, test=test, pool=pool, settings=settings, seconds=seconds, threads=threads
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
