"""The inputs of a teacher that reads texts, or sees images and reads texts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ....data import DataError, Source, ViewPolicy
from ....data.views.captions import pick_caption
from ..spec import TeacherSpec
from .binding import bind_inputs, require_inputs
from .prepare import Rows
from .preprocessing import Preprocessor
from .tokens import Tokens, load_tokens

TEXTS = ("text", "json")  # kinds of fields that hold a text, or a list of texts


@dataclass(frozen=True, slots=True)
class TextInputs:
    """Texts as `input_ids` and `attention_mask`, and views as `pixel_values`, each where it is asked for; a
    `Prepare`."""

    field: str | None
    tokens: Tokens | None
    preprocessor: Preprocessor | None = None

    @property
    def images(self) -> bool:
        return self.preprocessor is not None

    @property
    def fields(self) -> tuple[str, ...]:
        return () if self.field is None else (self.field,)

    @property
    def longest(self) -> int | None:
        return None if self.tokens is None or self.tokens.padding == "max_length" else self.tokens.longest

    def __call__(self, rows: Rows) -> dict[str, Tensor]:
        """Raises DataError for a field that holds neither a text nor a list of texts, naming the sample."""
        found: dict[str, Tensor] = {}
        if self.preprocessor is not None:
            assert rows.views is not None
            found.update(self.preprocessor(rows.views))
        if self.tokens is not None:
            found.update(self.tokens(_texts(rows, self.fields[0]), rows.ids, rows.shard))
        return found


def text_inputs(spec: TeacherSpec, folder: Path, source: Source, policy: ViewPolicy) -> TextInputs:
    """For text encoders, text classifiers and language models. Raises StageError when the source has no text."""
    bound = bind_inputs(spec.inputs, {"text": TEXTS}, source.kinds, "text-encoder, text-classifier or causal-lm")
    require_inputs(bound, ("text",), source.kinds, "text-encoder, text-classifier or causal-lm")
    return TextInputs(bound["text"], load_tokens(spec, folder))


def image_text_inputs(spec: TeacherSpec, folder: Path, source: Source, policy: ViewPolicy) -> TextInputs:
    """For CLIP and its kin: images, texts or both, as teacher.inputs says."""
    takes: Mapping[str, tuple[str, ...]] = {"image": ("image",), "text": TEXTS}
    bound = bind_inputs(spec.inputs, takes, source.kinds, "clip")
    require_inputs(bound, ("image", "text"), source.kinds, "clip")
    tokens = load_tokens(spec, folder, fixed=_fixed_length(folder)) if "text" in bound else None
    images = Preprocessor(folder, policy.size, policy.channels) if "image" in bound else None
    return TextInputs(bound.get("text"), tokens, images)


def _fixed_length(folder: Path) -> bool:
    """SigLIP was trained on texts of one length, padded without a mask."""
    from ..weights import model_config

    return str(model_config(folder).get("model_type", "")).startswith("siglip")


def _texts(rows: Rows, field: str) -> list[str]:
    captions: Any = [0.0] * len(rows.ids) if rows.captions is None else rows.captions.tolist()
    found = []
    for sample, value, choice in zip(rows.ids, rows.fields[field], captions, strict=True):
        text = pick_caption(value, choice)
        if text is None:
            raise DataError(
                f"sample {sample!r} of shard {rows.shard}: field {field!r} holds neither a text nor a list of texts"
            )
        found.append(text)
    return found
