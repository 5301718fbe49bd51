"""Texts -> token ids, by the teacher's own tokenizer. Padding is on the right, so that positions are those of a text by
itself; a text that is too long is an error, unless it is asked to be cut."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ....data import DataError
from ...errors import StageError
from ...tokenizer import NO_LIMIT, load_tokenizer
from ..spec import TeacherSpec


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenizer, and the most tokens that a text may have. With `padding` max_length every row has that many, and no
    mask is given: the model was trained so."""

    tokenizer: Any
    longest: int
    truncate: bool
    padding: Literal["longest", "max_length"] = "longest"

    def __call__(self, texts: Sequence[str], ids: Sequence[str], shard: str) -> dict[str, Tensor]:
        """`input_ids` (n, T) int64 and what else the tokenizer makes. Raises DataError, naming the sample, for a text
        that is too long or has no token."""
        made = self.tokenizer(list(texts), truncation=self.truncate, max_length=self.longest if self.truncate else None)
        for sample, found in zip(ids, made["input_ids"], strict=True):
            if not 0 < len(found) <= self.longest:
                raise DataError(_unfit(len(found), self.longest, sample, shard))
        length = self.longest if self.padding == "max_length" else None
        padded = self.tokenizer.pad(made, padding=self.padding, max_length=length, return_tensors="pt")
        names = ["input_ids"] if self.padding == "max_length" else ["attention_mask", *padded]
        return {name: padded[name].to(torch.int64) for name in dict.fromkeys(names)}


def load_tokens(spec: TeacherSpec, folder: Path, fixed: bool = False) -> Tokens:
    """The tokenizer in a teacher's folder; `fixed`: all texts are padded to the longest.

    Raises StageError when there is none, and when neither it nor teacher.max_tokens says how long a text may be.
    """
    tokenizer = load_tokenizer(folder, "teacher.model")
    return Tokens(tokenizer, _longest(spec, tokenizer, folder), spec.truncate, "max_length" if fixed else "longest")


def _longest(spec: TeacherSpec, tokenizer: Any, folder: Path) -> int:
    known = min([int(tokenizer.model_max_length), *_positions(folder)])
    if spec.max_tokens is None and known > NO_LIMIT:
        raise StageError(
            "teacher.max_tokens: the tokenizer does not say how many tokens a text may have: set it, to the longest "
            "text of the source or a little more"
        )
    if spec.max_tokens is not None and spec.max_tokens > known:
        raise StageError(f"teacher.max_tokens: the teacher takes {known} tokens at most, not {spec.max_tokens}")
    return spec.max_tokens or known


def _positions(folder: Path) -> list[int]:
    """How many positions the model has, where its configuration says it."""
    config = json.loads((folder / "config.json").read_bytes())
    text = config.get("text_config") or config
    found = text.get("max_position_embeddings")
    # RoBERTa's positions begin behind the padding token
    offset = int(text.get("pad_token_id") or 0) + 1 if "roberta" in str(text.get("model_type")) else 0
    return [found - offset] if isinstance(found, int) else []


def _unfit(found: int, longest: int, sample: str, shard: str) -> str:
    where = f"sample {sample!r} of shard {shard}"
    if not found:
        return f"{where}: its text has no token. Leave the sample out"
    return (
        f"{where}: its text has {found} tokens, and {longest} are the most. Shorten it, raise teacher.max_tokens where "
        "the teacher takes more, or set teacher.truncate: true to cut such texts"
    )
