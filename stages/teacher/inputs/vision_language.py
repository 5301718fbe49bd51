"""The inputs of a teacher that reads a prompt with an image in it, made by its own processor.

Beside what the model takes they say what each id is: text, image or action (`token_kinds`). Padding is on the right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ....data import DataError, Source, ViewPolicy
from ....data.views.captions import pick_caption
from ...capture.spans import PADDING, SPANS
from ...errors import StageError
from ..spec import TeacherSpec
from ..weights import model_config
from .actions import action_tokens, base_vocabulary
from .binding import bind_inputs, require_inputs
from .prepare import Rows
from .processing import load_processor, processed
from .prompt import Prompt, load_prompt

KINDS = "token_kinds"
_TAKES = {"image": ("image",), "text": ("text", "json"), "action": ("array", "json")}


@dataclass(frozen=True, slots=True)
class VisionLanguageInputs:
    """A `Prepare`. Every tensor that it makes has a row a view: what a processor lays end to end is cut into rows."""

    processor: Any
    prompt: Prompt
    image_id: int
    longest: int
    text: str | None
    action: str | None
    vocabulary: int
    images: ClassVar[bool] = True

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(field for field in (self.text, self.action) if field is not None)

    def __call__(self, rows: Rows) -> dict[str, Tensor]:
        """Raises DataError, naming the sample, for a text, an action or a row that the teacher cannot take."""
        assert rows.views is not None
        texts = [self.prompt.filled(text, _place(rows, i)) for i, text in enumerate(self._texts(rows))]
        images = [Image.fromarray(view) for view in rows.views]
        try:
            made = processed(self.processor, images, texts)
        except (ValueError, TypeError, IndexError, KeyError) as error:
            raise StageError(f"teacher.prompt: the processor refuses {texts[0]!r} with an image ({error})") from error
        found = self._with_actions(made, rows)
        self._check(found, rows)
        return found

    def _texts(self, rows: Rows) -> list[str]:
        if self.text is None:
            return [""] * len(rows.ids)
        captions: Any = [0.0] * len(rows.ids) if rows.captions is None else rows.captions.tolist()
        texts = [pick_caption(value, choice) for value, choice in zip(rows.fields[self.text], captions, strict=True)]
        for row, text in enumerate(texts):
            if text is None:
                raise DataError(f"{_place(rows, row)}: field {self.text!r} holds neither a text nor a list of texts")
        return [str(text) for text in texts]

    def _with_actions(self, made: dict[str, Tensor], rows: Rows) -> dict[str, Tensor]:
        """The ids of the actions behind each row's own, and what each id is."""
        mask = made["attention_mask"].to(torch.bool)
        kinds = torch.where(made["input_ids"] == self.image_id, SPANS["image"], SPANS["text"])
        kinds = kinds.masked_fill(~mask, PADDING)
        if self.action is None:
            return {**made, KINDS: kinds}
        if "token_type_ids" in made:
            raise StageError("teacher.inputs.action: this teacher tells parts of its text apart, and takes no actions")
        actions = torch.from_numpy(self._actions(rows))
        return {
            **made,
            "input_ids": _appended(made["input_ids"], mask, actions),
            "attention_mask": _appended(made["attention_mask"], mask, torch.ones_like(actions)),
            KINDS: _appended(kinds, mask, torch.full_like(actions, SPANS["action"]), PADDING),
            **{
                name: _appended(made[name], mask, torch.zeros_like(actions))
                for name in ("mm_token_type_ids",)
                if name in made
            },
        }

    def _actions(self, rows: Rows) -> np.ndarray:
        """(n, A) int64."""
        assert self.action is not None
        values: Sequence[Any] = rows.fields[self.action]
        found = [action_tokens(value, self.vocabulary, _place(rows, i)) for i, value in enumerate(values)]
        for row, ids in enumerate(found):
            if len(ids) != len(found[0]):
                raise DataError(
                    f"{_place(rows, row)}: its action has {len(ids)} coordinates, and that of {rows.ids[0]!r} "
                    f"{len(found[0])}: all must have as many"
                )
        return np.stack(found)

    def _check(self, found: dict[str, Tensor], rows: Rows) -> None:
        lengths = (found[KINDS] != PADDING).sum(dim=1)
        images = (found[KINDS] == SPANS["image"]).sum(dim=1)
        for row, (length, image) in enumerate(zip(lengths.tolist(), images.tolist(), strict=True)):
            if length > self.longest:
                raise DataError(
                    f"{_place(rows, row)}: its row has {length} tokens, {image} of them the image's, and "
                    f"{self.longest} are the most: shorten its text, or raise teacher.max_tokens where the teacher "
                    "takes more"
                )
            if image == 0:
                raise StageError(f"teacher.prompt: the processor made no image token (id {self.image_id}) of it")


def vision_language_inputs(spec: TeacherSpec, folder: Path, source: Source, policy: ViewPolicy) -> VisionLanguageInputs:
    """For models of images and text. Raises StageError when the source has no image, or the prompt does not fit."""
    takes = _TAKES if spec.inputs else {name: _TAKES[name] for name in ("image", "text")}  # an action must be named
    bound = bind_inputs(spec.inputs, takes, source.kinds, "vision-language")
    require_inputs(bound, ("image",), source.kinds, "vision-language")
    if spec.truncate:
        raise StageError("teacher.truncate: a row with an image in it is not cut; shorten the texts")
    if policy.channels != 3:
        raise StageError("views.channels: a vision-language teacher sees images of 3 channels")
    processor = load_processor(spec, folder)
    action, image_id = bound.get("action"), _image_id(processor, folder)
    return VisionLanguageInputs(
        processor,
        load_prompt(spec, processor, image_id, "text" in bound),
        image_id,
        _longest(spec, folder, processor),
        bound.get("text"),
        action,
        base_vocabulary(folder, spec.trust_remote_code) if action is not None else 0,
    )


def _image_id(processor: Any, folder: Path) -> int:
    config = model_config(folder)
    for known in (config.get("image_token_id"), config.get("image_token_index"), processor_id(processor)):
        if isinstance(known, int):
            return known
    raise StageError(f"teacher.model: neither {folder}/config.json nor the processor says which id an image has")


def processor_id(processor: Any) -> int | None:
    """The id of the image's token, where the processor says it."""
    known = getattr(processor, "image_token_id", None)
    return known if isinstance(known, int) else None


def _longest(spec: TeacherSpec, folder: Path, processor: Any) -> int:
    """The most tokens of a row, those of the image among them."""
    config = model_config(folder)
    text = config.get("text_config") or config
    known = [int(processor.tokenizer.model_max_length), text.get("max_position_embeddings")]
    most = min(number for number in known if isinstance(number, int))
    if spec.max_tokens is not None and spec.max_tokens > most:
        raise StageError(f"teacher.max_tokens: the teacher takes {most} tokens at most, not {spec.max_tokens}")
    if spec.max_tokens is None and most > 1 << 20:
        raise StageError("teacher.max_tokens: the teacher does not say how many tokens a row may have: set it")
    return spec.max_tokens or most


def _appended(values: Tensor, mask: Tensor, more: Tensor, padding: int = 0) -> Tensor:
    """`more` (n, A) behind the real values of each row (n, T), which are on the left."""
    found = torch.cat([values, torch.full_like(more, padding).to(values.dtype)], dim=1)
    place = mask.sum(dim=1)[:, None] + torch.arange(more.shape[1])
    return found.scatter(1, place, more.to(values.dtype))


def _place(rows: Rows, row: int) -> str:
    return f"sample {rows.ids[row]!r} of shard {rows.shard}"
