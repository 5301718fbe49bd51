"""Vision-language models of transformers as students: the image's tokens stand before the text's, in every row.

The model is given `pixel_values` and plain `input_ids`; as many of its image tokens as an image makes are put before
them here, so a row's spans are known: the first are the image's, the rest (padded on the right) the text's.
"""

import inspect
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from ...capture import evaluating, listen
from ...capture.anatomy import anatomy
from ...capture.points import Point
from ...errors import StageError
from ..inputs.shape import InputShape, blank_inputs

_TILED = ("idefics3", "smolvlm", "idefics2")  # they take several images a row: (B, images, C, H, W)
_FAINT = 1e-30  # such a model leaves out an image that is 0 everywhere, and a row would lose its tokens


def reads_images_as_text(model: Any) -> bool:
    """Whether a model has a token that images stand for."""
    return _image_token(model.config) is not None and hasattr(model, "get_image_features")


class ImageBeforeText:
    """Returns `logits` (B, n + T, vocabulary), `logits.text` (those that say the text's tokens, (B, T, vocabulary)),
    `hidden.N` and `attention.N` of the language model (of one span with `.image`, `.text` or `.text-image` behind), and
    points of the vision tower (`vision.hidden.N`). `image_tokens` in a row stand for the image, each of them the token
    `image_token`; `several_images` where the model takes several a row."""

    def __init__(self, model: Any, points: list[Point], inputs: Mapping[str, InputShape]) -> None:
        for name in ("pixel_values", "input_ids"):
            if name not in inputs:
                raise StageError(f"inputs: {type(model).__name__} reads an image and a text, and is given no {name}")
        self._model, self._points, parts = model, points, anatomy(model)
        self._parts = {"": parts.language, "vision": parts.vision}
        for point in points:
            if point.part == "text" or point.kind in ("embedding", "embeds") or point.span == "action":
                raise StageError(
                    f"{type(model).__name__} has no {point.name}; its points are hidden.N, logits.text, ..."
                )
        self._takes = inspect.signature(model.forward).parameters
        self.image_token = _image_token(model.config) or 0
        self.several_images = model.config.model_type in _TILED
        self.image_tokens = self._count_tokens(inputs)

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{point: (B, ...)}."""
        ids = inputs["input_ids"]
        image = ids.new_full((len(ids), self.image_tokens), self.image_token)
        mask = inputs.get("attention_mask", torch.ones_like(ids))
        given = {
            "input_ids": torch.cat([image, ids], 1),
            "attention_mask": torch.cat([torch.ones_like(image), mask], 1),
        }
        if "token_type_ids" in self._takes:  # PaliGemma's: 0 sees all of its kind, 1 what stands before it
            given["token_type_ids"] = torch.cat([torch.zeros_like(image), torch.ones_like(ids)], 1)
        with ExitStack() as stack:
            ears = [
                (part, stack.enter_context(listen(self._model.get_submodule(self._parts[part]), names, cut=False)))
                for part in self._parts
                if (names := self._names(part))
            ]
            output = self._model(**given, pixel_values=self._pixels(inputs), use_cache=False)
            heard = {(part, name): values for part, ear in ears for name, values in ear.collect().items()}
        return {point.name: self._value(point, output, heard) for point in self._points}

    def _names(self, part: str) -> list[str]:
        """What is heard of a part, whole."""
        inside = [p for p in self._points if p.part == part and p.kind in ("hidden", "attention", "qkv")]
        return sorted({f"{point.kind}.{point.index}" for point in inside})

    def _value(self, point: Point, output: Any, heard: Mapping[tuple[str, str], Tensor]) -> Tensor:
        if point.kind == "logits":
            logits: Tensor = output.logits
            return logits[:, self.image_tokens - 1 : -1] if point.span == "text" else logits
        values = heard[point.part, f"{point.kind}.{point.index}"]
        spans = {"image": slice(None, self.image_tokens), "text": slice(self.image_tokens, None)}
        if not point.span:
            return values
        if point.kind == "hidden":
            return values[:, spans[point.span]]
        rows, _, columns = point.span.partition("-")
        return values[:, :, spans[rows], spans[columns]]

    def _pixels(self, inputs: Mapping[str, Tensor]) -> Tensor:
        pixels = inputs["pixel_values"]
        if not self.several_images:
            return pixels
        return torch.where(pixels == 0, _FAINT, pixels).unsqueeze(1)

    def _count_tokens(self, inputs: Mapping[str, InputShape]) -> int:
        """How many tokens an image makes: the tower and what carries it over are run once."""
        blank = blank_inputs({"pixel_values": inputs["pixel_values"]}, 1)
        try:
            with evaluating(self._model), torch.no_grad():
                found = self._model.get_image_features(self._pixels(blank)).pooler_output
        except Exception as error:  # whatever a model raises for pixels that do not suit it
            raise StageError(f"{type(self._model).__name__} takes no such image: {error}") from error
        return len(found[0])


def _image_token(config: Any) -> int | None:
    return getattr(config, "image_token_id", getattr(config, "image_token_index", None))
