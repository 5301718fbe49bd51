"""CLIP, SigLIP and their kin: a tower for images, a tower for texts, and one space for both.

Their logits compare the samples of a batch with each other, so they belong to no row and are not kept: embeddings and
the scale say them for any batch.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ....cache.spec import SignalSpec
from ...errors import StageError
from ..signals.signal_schema import Heard
from ..spec import TeacherSpec
from .hearing import Hearing
from .loading import load_pretrained

_SCALE = ("logit_scale", "logit_bias")
_INPUT = {"vision": "pixel_values", "text": "input_ids"}
_EMBEDS = {"vision": "image_embeds", "text": "text_embeds"}


class Towers:
    """An `Adapter`. Of the towers only those run whose inputs are given."""

    def __init__(
        self, spec: TeacherSpec, folder: Path, signals: Mapping[str, SignalSpec], device: torch.device
    ) -> None:
        self.device = device
        self.model: Any = load_pretrained("AutoModel", spec, folder, device)
        if not all(hasattr(self.model, name) for name in ("vision_model", "text_model", "get_text_features")):
            raise StageError(f"teacher.family: {type(self.model).__name__} has no vision and text tower: it is no clip")
        _refuse_logits(signals)
        parts = {"vision": "vision_model", "text": "text_model"}
        self._hearing = Hearing(
            self.model, signals, device, spec.autocast, parts, given=tuple(_EMBEDS.values()), whole=False
        )

    @property
    def config(self) -> Any:
        return self.model.config

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Heard]:
        """`pixel_values` (B, C, h, w), `input_ids` (B, T) with its `attention_mask`, or both -> what was heard."""
        for part in self._hearing.parts | {part for part in _EMBEDS if _EMBEDS[part] in self._hearing.asked}:
            if _INPUT[part] not in inputs:
                what = "image" if part == "vision" else "text"
                raise StageError(f"cache.signals: the {part} tower is asked for, and teacher.inputs gives no {what}")
        return self._hearing.run(len(next(iter(inputs.values()))), lambda: self._embed(inputs))

    def facts(self) -> dict[str, Any]:
        return self._hearing.facts()

    def classes(self) -> tuple[str, ...]:
        return ()

    def constants(self) -> Mapping[str, Tensor]:
        """`logit_scale`, the logarithm of the scale as CLIP trains it, and SigLIP's `logit_bias`."""
        return {name: getattr(self.model, name).detach() for name in _SCALE if hasattr(self.model, name)}

    def close(self) -> None:
        self._hearing.close()

    def _embed(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found = {}
        if "pixel_values" in inputs:
            found["image_embeds"] = self.model.get_image_features(inputs["pixel_values"]).pooler_output
        if "input_ids" in inputs:
            text = {name: inputs[name] for name in ("input_ids", "attention_mask") if name in inputs}
            found["text_embeds"] = self.model.get_text_features(**text).pooler_output
        return found


def _refuse_logits(signals: Mapping[str, SignalSpec]) -> None:
    for name, signal in signals.items():
        if (signal.point or name) in ("logits", "logits_per_image", "logits_per_text"):
            raise StageError(
                f"cache.signals.{name}: logits of a teacher of two towers compare the samples of one batch, and belong "
                "to no sample: keep image_embeds and text_embeds; logit_scale is kept with them"
            )
