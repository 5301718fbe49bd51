"""Texts of a shard as token ids, each different text tokenised once.

A row has the text that its view has drawn, which is the one that the teacher read (`data/views/captions.py`). A text
that is too long is an error unless it is asked to be cut, and one without a token is always.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ....data import DataError, decode_field
from ....data.views.captions import pick_caption
from ...errors import StageError
from ...tokenizer import NO_LIMIT, files_digest, load_tokenizer, tokenizer_files
from .held import Packed, pack
from .opened import OpenedShard
from .shape import InputShape
from .spec import InputSource

KINDS = ("text", "json")


@dataclass(frozen=True, slots=True)
class Texts:
    """Makes the texts of a source. `place` is where the settings ask for them."""

    source: InputSource
    place: str
    tokenizer: Any
    shape: InputShape

    @property
    def padding(self) -> int:
        """The id that fills a batch."""
        return self.shape.padding or 0

    def hold(self, opened: OpenedShard) -> Packed:
        """Raises DataError, naming the sample, for what is no text, and for texts that are too long or empty."""
        texts, items = self._texts(opened)
        ids = self._tokenised(list(texts))
        self._check(np.array([len(found) for found in ids])[items], opened.where)
        return pack(ids, items)

    def encoded(self, texts: Sequence[str], where: Callable[[int], str]) -> list[np.ndarray]:
        """Token ids int32 of each text; `where(i)` says whose text i is. Raises DataError for texts that are too long
        or empty."""
        ids = self._tokenised(texts)
        self._check(np.array([len(found) for found in ids]), where)
        return ids

    def _tokenised(self, texts: Sequence[str]) -> list[np.ndarray]:
        cut = self.shape.longest if self.source.truncate else None
        made = self.tokenizer(list(texts), truncation=cut is not None, max_length=cut, return_attention_mask=False)
        return [np.asarray(found, np.int32) for found in made["input_ids"]]

    def _texts(self, opened: OpenedShard) -> tuple[dict[str, int], np.ndarray]:
        """The different texts of a shard, each with its number, and the number of each row: int32 (rows,)."""
        field, views, texts = self.source.field, opened.views, dict[str, int]()
        items = np.empty(len(opened.shard) * views, np.int32)
        for number in range(len(opened.shard)):
            value = decode_field(opened.shard.part(number, (field,)), field, opened.kinds[field])
            for row in range(number * views, (number + 1) * views):
                text = pick_caption(value, 0.0 if opened.drawn is None else opened.drawn[row].tolist())
                if text is None:
                    raise DataError(f"{opened.where(row)}: field {field!r} holds neither a text nor a list of texts")
                items[row] = texts.setdefault(text, len(texts))
        return texts, items

    def _check(self, lengths: np.ndarray, where: Callable[[int], str]) -> None:
        """`lengths` (rows,) of the texts of rows."""
        longest = self.shape.longest or NO_LIMIT
        wrong = np.flatnonzero((lengths == 0) | (lengths > longest))
        if not len(wrong):
            return
        row, found = int(wrong[0]), int(lengths[wrong[0]])
        if found == 0:
            raise DataError(f"{where(row)}: its text {self.source.field!r} has no token. Leave the sample out")
        raise DataError(
            f"{where(row)}: its text {self.source.field!r} has {found} tokens, and {longest} are the most. "
            f"Shorten it, raise {self.place}.max_tokens, or set {self.place}.truncate: true to cut such texts"
        )


def open_texts(source: InputSource, place: str) -> Texts:
    """Loads the tokenizer. Raises StageError when it cannot be, or when nobody says how long a text may be."""
    assert source.tokenizer is not None
    folder = Path(source.tokenizer)
    tokenizer = load_tokenizer(folder, f"{place}.tokenizer")
    longest = source.max_tokens or int(tokenizer.model_max_length)
    if longest > NO_LIMIT:
        raise StageError(
            f"{place}.max_tokens: the tokenizer does not say how many tokens a text may have: set it, to the longest "
            "text of the source or a little more"
        )
    tokenizer.model_max_length = NO_LIMIT  # the length is held here: its own warning would be another voice
    shape = InputShape(
        "tokens",
        (None,),
        "int64",
        longest,
        len(tokenizer),
        tokenizer.pad_token_id,
        files_digest(tokenizer_files(folder)),
    )
    return Texts(source, place, tokenizer, shape)
