"""Models of two towers (CLIP, SigLIP and their kin): a student of images and texts, or of one of them.

Only those towers run whose inputs are given. Embeds are un-normalised, as the teacher's are kept.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from ...capture import listen
from ...capture.points import Point
from ...errors import StageError
from ..inputs.shape import InputShape

_INPUT = {"vision": "pixel_values", "text": "input_ids"}
_EMBEDS = {"vision": "image_embeds", "text": "text_embeds"}
_LOGITS = ("logits_per_image", "logits_per_text")


def has_towers(model: Any) -> bool:
    """Whether a model is one of images and texts in one space."""
    return all(hasattr(model, name) for name in ("vision_model", "text_model", "get_text_features"))


class Towers:
    """Returns `image_embeds`, `text_embeds` (B, width), `logits_per_image`, `logits_per_text` (B, B), and points of the
    towers (`vision.hidden.N`, `text.attention.N`)."""

    def __init__(self, model: Any, points: list[Point], inputs: Mapping[str, InputShape]) -> None:
        self._model, self._names = model, [point.name for point in points]
        self._heard = {part: [p.name for p in points if p.part == part] for part in _INPUT}
        for point in points:
            if not point.part and point.name not in (*_EMBEDS.values(), *_LOGITS):
                raise StageError(
                    f"{type(model).__name__} has two towers and no {point.name}: its outputs are image_embeds, "
                    f"text_embeds, logits_per_image, logits_per_text, vision.{point.name} and text.{point.name}"
                )
        for part in self._needed():
            if _INPUT[part] not in inputs:
                raise StageError(f"inputs: the {part} tower is asked for, and the student is given no {_INPUT[part]}")
        _check_end(model, inputs)
        self._longest, self._padding = _fixed_length(model, inputs)

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{point: values}."""
        with ExitStack() as stack:
            ears = [
                (part, stack.enter_context(listen(getattr(self._model, f"{part}_model"), local, cut=False)))
                for part, names in self._heard.items()
                if (local := [name.removeprefix(f"{part}.") for name in names])
            ]
            found = self._embeds(inputs)
            for part, ear in ears:
                found |= {f"{part}.{name}": values for name, values in ear.collect().items()}
        if any(name in self._names for name in _LOGITS):
            found |= self._compared(found["image_embeds"], found["text_embeds"])
        return {name: found[name] for name in self._names}

    def _needed(self) -> list[str]:
        both = any(name in self._names for name in _LOGITS)
        return [part for part in _INPUT if both or self._heard[part] or _EMBEDS[part] in self._names]

    def _embeds(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        needed = self._needed()
        if "vision" in needed:
            found["image_embeds"] = self._model.get_image_features(inputs["pixel_values"]).pooler_output
        if "text" in needed:
            found["text_embeds"] = self._model.get_text_features(**self._text(inputs)).pooler_output
        return found

    def _text(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if self._longest is None:
            return {name: inputs[name] for name in ("input_ids", "attention_mask") if name in inputs}
        ids = inputs["input_ids"]
        return {"input_ids": pad(ids, (0, self._longest - ids.shape[1]), value=self._padding)}

    def _compared(self, images: Tensor, texts: Tensor) -> dict[str, Tensor]:
        """Cosines times the learnt scale (CLIP, arXiv 2103.00020, figure 3), plus SigLIP's bias (arXiv 2303.15343)."""
        per_image = normalize(images, dim=-1) @ normalize(texts, dim=-1).T * self._model.logit_scale.exp()
        per_image = per_image + getattr(self._model, "logit_bias", torch.zeros((), device=images.device))
        return {"logits_per_image": per_image, "logits_per_text": per_image.T}


def _check_end(model: Any, inputs: Mapping[str, InputShape]) -> None:
    """CLIP reads a text at its end token. With another tokenizer than OpenAI's that id must be said."""
    text = getattr(model.config, "text_config", None)
    tokens = inputs.get("input_ids")
    end = getattr(text, "eos_token_id", None)
    if tokens is None or tokens.vocabulary is None or not hasattr(model.text_model, "eos_token_id"):
        return
    if end is None or (end != 2 and not 0 <= end < tokens.vocabulary):
        raise StageError(
            f"args.text_config.eos_token_id: {type(model).__name__} reads a text at its end token, and {end} is none "
            f"of the tokenizer's {tokens.vocabulary} ids: set it to the id that ends every text"
        )


def _fixed_length(model: Any, inputs: Mapping[str, InputShape]) -> tuple[int | None, int]:
    """A tower that reads a text at its last place (SigLIP's) is given texts of one length, padded and without a mask as
    it was made for; else what it says of a text would depend on the others of the batch."""
    tokens = inputs.get("input_ids")
    if tokens is None or not getattr(model.config, "model_type", "").startswith("siglip"):
        return None, 0
    if tokens.longest is None:
        raise StageError(f"inputs.input_ids.max_tokens: {type(model).__name__} reads texts of one length: say the most")
    return tokens.longest, tokens.padding or 0
