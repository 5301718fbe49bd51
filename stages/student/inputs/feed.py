"""Gives students their inputs: for rows of a cache, in training and in evaluation alike.

A shard is decoded and tokenised when its first row is asked for, and never again in a process; a batch is gathered from
what is kept, without a loop over rows.
"""

from collections.abc import Mapping

import numpy as np
import torch

from ....cache import Cache
from ...capture.points import nearest
from ...errors import StageError
from ..stream.join import Join
from . import arrays, texts
from .columns import Column, SharedInputs, companion
from .held import Held
from .kept import MEMORY, Kept
from .shape import InputShape
from .spec import InputSource

_KINDS = {"image": ("image",), "text": texts.KINDS, "array": arrays.KINDS}
_PARTS = ("tokenizer", "shape", "dtype", "longest", "vocabulary", "padding", "kind")
_MAKES = texts.Texts | arrays.Arrays


class Feed:
    """The inputs of rows. `sources` says what is asked for, and where in the settings (see `asked_sources`).

    Raises StageError for a field that the source lacks or that does not fit, and for a tokenizer that cannot be loaded.
    Safe in threads and workers.
    """

    def __init__(self, join: Join, sources: Mapping[InputSource, str], memory: int = MEMORY) -> None:
        """`memory`: bytes of texts and arrays that this process keeps in memory; the rest is mapped."""
        for source, place in sources.items():
            check_source(source, place, join.kinds)
        self._join, self._kept = join, Kept(memory)
        self.images = any(source.image is not None for source in sources)
        asked = {source: place for source, place in sources.items() if source.image is None}
        self._makers = {source: _open(source, place, join) for source, place in asked.items()}

    def shapes(self, takes: Mapping[str, InputSource]) -> dict[str, InputShape]:
        """How texts and arrays look that a student takes, with masks and lengths; images are StudentShape's."""
        found: dict[str, InputShape] = {}
        for name, source in takes.items():
            if source.image is None:
                shape = self._makers[source].shape
                found[name] = shape
                if (beside := companion(name, source)) is not None:
                    found[beside] = _companion_shape(shape)
        return found

    def require(self, takes: Mapping[str, InputSource], known: Mapping[str, InputShape], who: str) -> None:
        """Raise StageError unless a student gets inputs that look as those that it was trained on: arrays of the same
        shape, and texts from the same tokenizer."""
        for name, shape in self.shapes(takes).items():
            if name in known and known[name] != shape:
                differ = [part for part in _PARTS if getattr(known[name], part) != getattr(shape, part)]
                raise StageError(
                    f"{who}: its input {name} is not what it was trained on: {differ[0]} was "
                    f"{getattr(known[name], differ[0])} and is {getattr(shape, differ[0])}"
                )

    def views(self, rows: np.ndarray) -> torch.Tensor | None:
        """Canonical views uint8 (n, H, W, C) on the CPU; None when nobody sees images."""
        return torch.from_numpy(self._join.views(rows)) if self.images else None

    def columns(self, rows: np.ndarray, pinned: bool = False) -> dict[InputSource, Column]:
        """Texts and arrays of rows on the CPU, in memory that is pinned on demand. Raises DataError, naming the sample,
        for what cannot be given."""
        return {source: self._column(source, rows, pinned) for source in self._makers}

    def shared(self, rows: np.ndarray, device: torch.device) -> SharedInputs:
        """The inputs of rows on a device: `shared(...).inputs(student.takes, len(rows))` is what a student is given."""
        views = self.views(rows)
        columns = {source: column.to(device) for source, column in self.columns(rows).items()}
        return SharedInputs(None if views is None else views.to(device), columns)

    def _column(self, source: InputSource, rows: np.ndarray, pinned: bool) -> Column:
        maker = self._makers[source]
        parts = [(self._of_shard(source, name), local, places) for name, local, places in self._join.by_shard(rows)]
        lengths = _lengths(parts, len(rows))
        sides = tuple(side for side in maker.shape.shape if side is not None)
        longest = () if lengths is None else (int(lengths.max(initial=0)),)
        shape, dtype = (len(rows), *longest, *sides), getattr(torch, maker.shape.dtype)
        values = torch.full(shape, maker.padding, dtype=dtype, pin_memory=pinned)
        for held, local, places in parts:
            _fill(values.numpy(), held, local, places)
        if lengths is None:
            return Column(values)
        told = torch.from_numpy(lengths)
        return Column(values, told.pin_memory() if pinned else told)

    def _of_shard(self, source: InputSource, name: str) -> Held:
        return self._kept.get((name, source), lambda: self._makers[source].hold(self._join.opened(name)))


def check_source(source: InputSource, place: str, kinds: Mapping[str, str]) -> None:
    """Raise StageError unless the fields of a source, given by kind, hold what an input is made of."""
    what = "image" if source.image is not None else "text" if source.text is not None else "array"
    if source.field not in kinds:
        raise StageError(
            f"{place}: the source has no {what} {source.field!r}{nearest(source.field, kinds)}; it has "
            f"{', '.join(kinds) or 'none'} (source.fields names what is read beside the image)"
        )
    if kinds[source.field] not in _KINDS[what]:
        fits = " or ".join(_KINDS[what])
        raise StageError(f"{place}: field {source.field} is of kind {kinds[source.field]}, and {what} takes {fits}")


def _open(source: InputSource, place: str, join: Join) -> _MAKES:
    if source.text is not None:
        return texts.open_texts(source, place)
    return arrays.open_arrays(source, place, join.opened(_first_shard(join.cache)))


def _first_shard(cache: Cache) -> str:
    filled = [name for name, rows in zip(cache.shards, cache.row_counts, strict=True) if rows]
    if not filled:
        raise StageError(f"{cache.url} holds no row: nothing can be trained from it")
    return filled[0]


def _companion_shape(shape: InputShape) -> InputShape:
    if shape.kind == "tokens":
        return InputShape("mask", (None,), "int64", shape.longest)
    return InputShape("lengths", (), "int64", shape.longest)


def _lengths(parts: list[tuple[Held, np.ndarray, np.ndarray]], rows: int) -> np.ndarray | None:
    """int64 (rows,); None where all rows have one shape."""
    found = np.zeros(rows, np.int64)
    for held, local, places in parts:
        lengths = held.lengths(local)
        if lengths is None:
            return None
        found[places] = lengths
    return found


def _fill(out: np.ndarray, held: Held, local: np.ndarray, places: np.ndarray) -> None:
    """Write into rows `places`: straight, where they lie side by side, which spares a copy."""
    if len(places) and places[-1] - places[0] + 1 == len(places):
        held.fill(local, out[places[0] : places[-1] + 1])
        return
    part = out[places]
    held.fill(local, part)
    out[places] = part
