"""Labels that are numeric fields of the samples: read once, before training, and kept whole, as class numbers are.

It refuses fields whose values differ in shape, and numbers that are not finite. A sample without the field, or with a
JSON null, has no such label.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ....data import DataError, decode_field
from ....data.numbers import fits_float32, number_array
from ...capture.points import nearest
from ...errors import StageError
from ..stream.join import Join
from .opened import OpenedShard

_KINDS = ("array", "json")
_INTEGERS = "biu"


@dataclass(frozen=True, slots=True)
class LabelShape:
    """How a label field looks: the shape of one sample's, and whether it holds whole numbers (classes) or others; the
    smallest and largest of the numbers there are."""

    shape: tuple[int, ...]
    dtype: Literal["int64", "float32"]
    smallest: float
    largest: float


@dataclass(frozen=True, slots=True)
class LabelField:
    """`values` int64 or float32 (samples, ...), 0 where there is none; `present` bool (samples,)."""

    values: np.ndarray
    present: np.ndarray

    @property
    def shape(self) -> LabelShape:
        there = self.values[self.present]
        whole = self.values.dtype == np.int64
        low, high = (float(there.min()), float(there.max())) if there.size else (0.0, 0.0)
        return LabelShape(self.values.shape[1:], "int64" if whole else "float32", low, high)


def read_labels(join: Join, field: str) -> LabelField:
    """A label field of every sample of a cache, in its order; `field.key` is one array or number of several.

    Raises StageError when the source has no such field, or no sample has it; DataError, naming the sample, for what is
    no number.
    """
    check_label(field, join.kinds)
    found = [value for name in join.cache.shards for value in _of_shard(join.opened(name), field)]
    first = next((value for value in found if value is not None), None)
    if first is None:
        raise StageError(f"label: no sample of the source has the field {field!r}")
    _check_shapes(found, first.shape, join, field)
    whole = all(value.dtype.kind in _INTEGERS for value in found if value is not None)
    values = np.zeros((len(found), *first.shape), np.int64 if whole else np.float32)
    present = np.array([value is not None for value in found], np.bool_)
    values[present] = np.stack([value for value in found if value is not None])
    return LabelField(values, present)


def check_label(field: str, kinds: Mapping[str, str]) -> None:
    """Raise StageError unless a source, whose fields are given by kind, has a field of numbers of that name."""
    name = field.partition(".")[0]
    if name not in kinds:
        raise StageError(
            f"label: the source has no field {name!r}{nearest(name, kinds)}; it has {', '.join(kinds) or 'none'} "
            "(source.fields names what is read beside the image)"
        )
    if kinds[name] not in _KINDS:
        raise StageError(f"label: field {name} is of kind {kinds[name]}, and a label is of kind {' or '.join(_KINDS)}")


def _check_shapes(found: list[np.ndarray | None], shape: tuple[int, ...], join: Join, field: str) -> None:
    wrong = next((i for i, value in enumerate(found) if value is not None and value.shape != shape), None)
    if wrong is not None:
        sample = join.ids(np.array([wrong * join.cache.manifest.views]))[0]
        other = found[wrong]
        raise DataError(
            f"sample {str(sample)!r}: field {field!r} is {other.shape if other is not None else ()}, and that of the "
            f"samples before it {shape}; labels have one shape"
        )


def _of_shard(opened: OpenedShard, field: str) -> list[np.ndarray | None]:
    """The label of each sample of a shard, None where it has none."""
    return [_label(opened, number, field) for number in range(len(opened.shard))]


def _label(opened: OpenedShard, number: int, field: str) -> np.ndarray | None:
    name, _, key = field.partition(".")
    sample = opened.shard.part(number, (name,))
    value: Any = decode_field(sample, name, opened.kinds[name]) if name in sample.fields else None
    if value is None or (key and isinstance(value, dict) and value.get(key, 0) is None):
        return None
    where = f"{opened.where(number * opened.views)}: field {field!r}"
    array = number_array(value, key or None, where)
    if array.dtype.kind == "f" and not fits_float32(array):
        raise DataError(f"{where} is no finite float32. Correct it, or leave it out")
    return array
