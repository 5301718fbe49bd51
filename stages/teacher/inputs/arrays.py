"""The inputs of a module of the user's own: each argument of its forward is an array or JSON field, or the image.

`{x: sequence, lengths: sequence.length, attention_mask: sequence.mask}`: sequences of different lengths are padded with
0, and only where the module is told their lengths or which places are real; `field.name` is an array of a .npz.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ....data import DataError, Source, ViewPolicy
from ...capture.points import nearest
from ...errors import StageError
from ..spec import TeacherSpec
from .prepare import Rows

_KINDS = ("array", "json", "image")
_TELLS = ("length", "mask")


@dataclass(frozen=True, slots=True)
class Column:
    """An argument of forward: a field of the source, or one array `key` of it; or how long its rows are."""

    argument: str
    field: str
    key: str | None
    tells: Literal["values", "length", "mask"]


@dataclass(frozen=True, slots=True)
class ArrayInputs:
    """A `Prepare`. `longest` is teacher.max_tokens: no row of a padded field is longer."""

    columns: tuple[Column, ...]
    longest: int | None

    @property
    def images(self) -> bool:
        return any(column.field == "image" for column in self.columns)

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(column.field for column in self.columns if column.field != "image"))

    def __call__(self, rows: Rows) -> dict[str, Tensor]:
        """Floating-point numbers as float32, whole numbers as int64, truth values as bool, images in [0, 1] as float32
        (n, C, H, W). Raises DataError for what is no array of numbers, and for rows that do not fit each other."""
        return {column.argument: self._column(column, rows) for column in self.columns}

    def _column(self, column: Column, rows: Rows) -> Tensor:
        if column.field == "image":
            assert rows.views is not None
            pixels = rows.views.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
            return torch.from_numpy(np.ascontiguousarray(pixels))
        arrays = [_array(value, column, rows, row) for row, value in enumerate(rows.fields[column.field])]
        if column.tells == "values":
            return torch.from_numpy(self._padded(arrays, column, rows))
        lengths = torch.tensor([_length(array, column, rows, row) for row, array in enumerate(arrays)])
        if column.tells == "length":
            return lengths
        return (torch.arange(int(lengths.max())) < lengths[:, None]).to(torch.int64)

    def _padded(self, arrays: Sequence[np.ndarray], column: Column, rows: Rows) -> np.ndarray:
        told = any(other.field == column.field and other.tells != "values" for other in self.columns)
        shapes = {array.shape[1:] if told else array.shape for array in arrays}
        if len(shapes) > 1:
            first, other = sorted(shapes)[:2]
            raise DataError(
                f"teacher.inputs.{column.argument}: the arrays of field {column.field} in shard {rows.shard} are "
                f"{first} and {other}; of sequences of different lengths tell the module the lengths as well: "
                f"{{lengths: {column.field}.length}}, or {{attention_mask: {column.field}.mask}}"
            )
        if not told:
            return np.stack(arrays)
        longest = max(len(array) for array in arrays)
        padded = np.zeros((len(arrays), longest, *arrays[0].shape[1:]), arrays[0].dtype)
        for row, array in enumerate(arrays):
            if self.longest is not None and len(array) > self.longest:
                raise DataError(
                    f"sample {rows.ids[row]!r} of shard {rows.shard}: field {column.field} has {len(array)} places, "
                    f"and teacher.max_tokens is {self.longest}"
                )
            padded[row, : len(array)] = array
        return padded


def array_inputs(spec: TeacherSpec, folder: Path, source: Source, policy: ViewPolicy) -> ArrayInputs:
    """For modules. Raises StageError for fields that the source lacks, or that hold no numbers."""
    if not spec.inputs:
        raise StageError(
            "teacher.inputs: name the arguments of the module's forward and the field that each is, such as "
            f"{{x: {next(iter(source.kinds), 'volume')}}}"
        )
    columns = tuple(_parsed(argument, value, source) for argument, value in spec.inputs.items())
    if any(column.tells == "mask" for column in columns) and spec.max_tokens is None:
        raise StageError("teacher.max_tokens: say how long the longest sequence is, or a little more")
    return ArrayInputs(columns, spec.max_tokens)


def _parsed(argument: str, value: str, source: Source) -> Column:
    field, _, rest = value.partition(".")
    if field not in source.kinds:
        raise StageError(
            f"teacher.inputs.{argument}: the source has no field {field!r}{nearest(field, source.kinds)}; it has "
            f"{', '.join(source.kinds) or 'none'}"
        )
    if source.kinds[field] not in _KINDS or (field == "image" and rest):
        raise StageError(
            f"teacher.inputs.{argument}: {value} is of kind {source.kinds[field]}, and a module takes arrays, JSON "
            "numbers and the image; write texts as arrays of token ids"
        )
    key, _, last = rest.rpartition(".")
    if last in _TELLS:
        return Column(argument, field, key or None, "length" if last == "length" else "mask")
    return Column(argument, field, rest or None, "values")


def _array(value: Any, column: Column, rows: Rows, row: int) -> np.ndarray:
    where = f"sample {rows.ids[row]!r} of shard {rows.shard}: field {column.field}"
    if isinstance(value, dict) and column.key is not None:
        if column.key not in value:
            raise DataError(f"{where} has no {column.key!r}{nearest(column.key, value)}; it has {', '.join(value)}")
        value = value[column.key]
    elif column.key is not None or isinstance(value, dict):
        has = f"holds {', '.join(value)}: name one" if isinstance(value, dict) else "is one array"
        raise DataError(f"{where} {has}, and teacher.inputs.{column.argument} asks for {column.key or 'all of it'}")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DataError(f"{where} holds lists that are no array ({error})") from error
    wanted = {"f": np.float32, "i": np.int64, "u": np.int64, "b": np.bool_}.get(array.dtype.kind)
    if wanted is None:
        raise DataError(f"{where} holds {array.dtype}, and a module takes numbers")
    found: np.ndarray = np.asarray(array, dtype=wanted, order="C")
    return found


def _length(array: np.ndarray, column: Column, rows: Rows, row: int) -> int:
    if array.ndim == 0 or len(array) == 0:
        raise DataError(f"sample {rows.ids[row]!r} of shard {rows.shard}: field {column.field} is no sequence")
    return len(array)
