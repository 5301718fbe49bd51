"""Arrays of numbers of a shard, stacked; or end to end, where their first axis differs in length."""

from dataclasses import dataclass

import numpy as np

from ....data import DataError, decode_field
from ....data.numbers import fits_float32, number_array, plain_type
from .held import Held, Stacked, pack
from .opened import OpenedShard
from .shape import InputShape
from .spec import InputSource

KINDS = ("array", "json")


@dataclass(frozen=True, slots=True)
class Arrays:
    """Makes the arrays of a source; all are as `shape` says, which is that of the source's first sample, `first`."""

    source: InputSource
    place: str
    shape: InputShape
    first: str
    padding: int = 0

    def hold(self, opened: OpenedShard) -> Held:
        """Raises DataError, naming the sample, for what is no array of finite numbers, or of another shape or type."""
        arrays = [
            self.checked(
                _array(self.source, opened, i), f"{opened.where(i * opened.views)}: field {self.source.array!r}"
            )
            for i in range(len(opened.shard))
        ]
        items = np.repeat(np.arange(len(arrays), dtype=np.int32), opened.views)
        if self.source.max_tokens is not None:
            return pack(arrays, items)
        return Stacked(np.stack(arrays), items)

    def checked(self, array: np.ndarray, where: str) -> np.ndarray:
        """The array of a sample, cut where it may be. Raises DataError, which begins with `where`, for one that is not
        as `shape` says."""
        if plain_type(array) != self.shape.dtype:
            raise DataError(
                f"{where} is {array.dtype}, and that of {self.first} was {self.shape.dtype}: write one type"
            )
        if self.shape.dtype == "float32" and not fits_float32(array):
            raise DataError(f"{where} holds what is no finite float32. Correct it, or leave the sample out")
        if self.source.max_tokens is None:
            self._check_shape(array.shape, self.shape.shape, where)
            return array
        self._check_shape(array.shape[1:], self.shape.shape[1:], where)
        return self._cut(array, self.source.max_tokens, where)

    def _check_shape(self, found: tuple[int, ...], wanted: tuple[int | None, ...], where: str) -> None:
        if found != wanted:
            raise DataError(
                f"{where} is {found}, and that of {self.first} is {wanted}; of sequences that differ in length along "
                f"their first axis alone, set {self.place}.max_tokens to the longest"
            )

    def _cut(self, array: np.ndarray, longest: int, where: str) -> np.ndarray:
        if array.ndim == 0 or len(array) == 0:
            raise DataError(f"{where} is no sequence: it has no place. Leave the sample out")
        if len(array) > longest and not self.source.truncate:
            raise DataError(
                f"{where} has {len(array)} places, and {longest} are the most. Raise {self.place}.max_tokens, or set "
                f"{self.place}.truncate: true to cut such arrays"
            )
        return array[:longest]


def open_arrays(source: InputSource, place: str, opened: OpenedShard) -> Arrays:
    """Looks at the first sample of `opened`, which says how all must look."""
    array = _array(source, opened, 0)
    if source.max_tokens is not None and array.ndim == 0:
        raise DataError(
            f"{opened.where(0)}: field {source.array!r} is one number, and {place}.max_tokens is for sequences"
        )
    shape: tuple[int | None, ...] = array.shape
    longest = source.max_tokens
    if longest is not None:
        shape = (None, *array.shape[1:])
    return Arrays(source, place, InputShape("array", shape, plain_type(array), longest), opened.where(0))


def _array(source: InputSource, opened: OpenedShard, sample: int) -> np.ndarray:
    field, (_, _, key) = source.field, (source.array or "").partition(".")
    value = decode_field(opened.shard.part(sample, (field,)), field, opened.kinds[field])
    return number_array(value, key or None, f"{opened.where(sample * opened.views)}: field {source.field!r}")
