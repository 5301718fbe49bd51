"""The points of a vision-language teacher that have names: what `teacher describe` asks for."""

from collections.abc import Iterator
from typing import Any

_BLOCKS = ("text-text", "text-image", "image-text", "image-image")


def vision_language_points(config: Any) -> Iterator[list[str]]:
    """Groups of points of which a teacher has all or none; of spans and blocks those of the last layer stand for all.

    `spans` is not among them: it is no value of the model, and takes 12 bytes a run of tokens.
    """
    text = config.get_text_config()
    yield ["projector"]
    yield from _layered("", int(getattr(text, "num_hidden_layers", 0)))
    yield ["hidden.-1.text", "hidden.-1.image"]
    yield [f"attention.-1.{block}" for block in _BLOCKS]
    yield ["logits.text"]
    yield ["hidden.-1.action", "attention.-1.action-image", "attention.-1.action-text", "logits.action", "actions"]
    tower = getattr(config, "vision_config", None)
    yield from _layered("vision.", int(getattr(tower, "num_hidden_layers", None) or getattr(tower, "depth", None) or 0))


def _layered(part: str, layers: int) -> Iterator[list[str]]:
    yield [f"{part}hidden.{index}" for index in range(layers + 1)]
    yield [f"{part}attention.{index}" for index in range(layers)]
    yield [f"{part}qkv.{index}" for index in range(layers)]
