"""Fields of held-out samples as columns: what metrics compare outputs with, and by what figures are broken down.

It refuses fields that are missing, numbers of different shapes, and what is neither a number nor a text. A JSON null
stands for "no target here".
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....data.fields import decode_field
from ...errors import StageError
from ...student.stream.join import Join


def read_targets(join: Join, names: Sequence[str]) -> dict[str, np.ndarray]:
    """{name: column} of all samples of a cache, in order: float64 (n, ...), NaN for null, or str (n,), "" for null.

    A name is a field of the source, or `field.key` of a JSON object or a .npz. Raises StageError for a field that there
    is not or whose values make no column, DataError for a sample that cannot be read.
    """
    for name in names:
        _check(name, join.kinds)
    fields = tuple(dict.fromkeys(map(_field, names)))
    found: dict[str, list[Any]] = {name: [] for name in names}
    ids: list[str] = []
    for name in join.cache.shards if names else ():
        shard = join.opened(name).shard
        for sample in (shard.part(index, fields) for index in range(len(shard))):
            ids.append(sample.id)
            decoded = {field: decode_field(sample, field, join.kinds[field]) for field in fields}
            for target, values in found.items():
                values.append(_pick(decoded[_field(target)], target, sample.id))
    return {name: _column(values, name, ids) for name, values in found.items()}


def classes_of(column: np.ndarray, name: str) -> np.ndarray:
    """A column of class numbers as int64 (n,), -1 for none. StageError for what is no class number."""
    if column.ndim != 1 or column.dtype.kind not in "if":
        raise StageError(f"evaluate.metrics: field {name!r} holds no class numbers: one whole number a sample")
    known = column[~np.isnan(column)]
    if np.any(known != np.floor(known)):
        raise StageError(
            f"evaluate.metrics: field {name!r} holds {known[known != np.floor(known)][0]}: no class number"
        )
    return np.where(np.isnan(column), -1, column).astype(np.int64)


def _field(name: str) -> str:
    return name.partition(".")[0]


def _check(name: str, kinds: Mapping[str, str]) -> None:
    if _field(name) not in kinds or kinds[_field(name)] == "image":
        there = ", ".join(kind for kind in kinds if kind != "image") or "none"
        raise StageError(f"evaluate.metrics: the held-out source has no field {_field(name)!r}; its fields are {there}")


def _pick(value: Any, name: str, sample: str) -> Any:
    key = name.partition(".")[2]
    if not key:
        return value
    if not isinstance(value, Mapping) or key not in value:
        raise StageError(f"sample {sample!r}: field {_field(name)!r} has no {key!r}, which evaluate.metrics names")
    return value[key]


def _column(values: Sequence[Any], name: str, ids: Sequence[str]) -> np.ndarray:
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, str) for value in known):
        return np.asarray(["" if value is None else value for value in values], np.str_)
    arrays = [_numbers(value, name, sample) for value, sample in zip(values, ids, strict=True)]
    shapes = {array.shape for array, value in zip(arrays, values, strict=True) if value is not None}
    if len(shapes) > 1:
        odd = next(i for i, array in enumerate(arrays) if values[i] is not None and array.shape != max(shapes))
        raise StageError(f"sample {ids[odd]!r}: field {name!r} has shape {arrays[odd].shape}, and others {max(shapes)}")
    nothing = np.full(next(iter(shapes), ()), np.nan)
    return np.stack([nothing if value is None else array for value, array in zip(values, arrays, strict=True)])


def _numbers(value: Any, name: str, sample: str) -> np.ndarray:
    if value is None:
        return np.asarray(np.nan)
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray("ragged")
    if array.dtype.kind not in "biuf":
        raise StageError(
            f"sample {sample!r}: field {name!r} holds neither a number nor a text; evaluate.metrics reads it"
        )
    return array.astype(np.float64)
