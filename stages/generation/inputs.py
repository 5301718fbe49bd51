"""What a student that teaches is given: the very inputs that it was trained on, made of a source's samples.

It refuses a source without its fields, other views than it saw, and another tokenizer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...data import DataError, Source, ViewPolicy
from ...data.numbers import number_array
from ...data.views.captions import pick_caption
from ..errors import StageError
from ..student.files.saved import SavedStudent, read_student
from ..student.inputs.arrays import Arrays
from ..student.inputs.columns import Column, SharedInputs
from ..student.inputs.feed import check_source
from ..student.inputs.spec import InputSource
from ..student.inputs.texts import Texts, open_texts
from ..teacher.inputs.prepare import Rows
from ..teacher.spec import TeacherSpec

_Makers = Mapping[InputSource, Texts | Arrays]


@dataclass(frozen=True, slots=True)
class StudentInputs:
    """A `Prepare`. `takes` are the student's inputs by name, `makers` make those that are no image."""

    takes: Mapping[str, InputSource]
    makers: _Makers

    @property
    def images(self) -> bool:
        return any(source.image is not None for source in self.takes.values())

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(source.field for source in self.makers))

    @property
    def longest(self) -> int | None:
        """Outputs of tokens are refused, so no row has any."""
        return None

    def __call__(self, rows: Rows) -> dict[str, Tensor]:
        """The student's inputs with their masks and lengths. Raises DataError, naming the sample, for what it cannot
        be given."""
        views = torch.from_numpy(np.ascontiguousarray(rows.views)) if self.images and rows.views is not None else None
        columns = {source: _column(maker, rows) for source, maker in self.makers.items()}
        return SharedInputs(views, columns).inputs(self.takes, len(rows.ids))


def student_inputs(spec: TeacherSpec, folder: Path, source: Source, policy: ViewPolicy) -> StudentInputs:
    """Raises StageError for fields that the source lacks, other views, another tokenizer, and teacher.inputs, which a
    student does not need."""
    if spec.inputs:
        raise StageError("teacher.inputs: a student is given what it was trained on; leave this out")
    saved = read_student(folder)
    for name, taken in saved.student.takes.items():
        check_source(taken, f"teacher.student: input {name}", source.kinds)
        if taken.image is not None:
            _check_views(saved, taken.image.size, policy)
    others = {taken: name for name, taken in saved.student.takes.items() if taken.image is None}
    return StudentInputs(saved.student.takes, {taken: _maker(saved, taken, name) for taken, name in others.items()})


def _check_views(saved: SavedStudent, size: int | None, policy: ViewPolicy) -> None:
    shape = saved.shape
    if shape.channels != policy.channels or (size is None and shape.size != policy.size):
        raise StageError(
            f"teacher.student: it was trained on views of size {shape.size} with channels {shape.channels}, and views "
            f"have size {policy.size} and channels {policy.channels}"
        )


def _maker(saved: SavedStudent, taken: InputSource, name: str) -> Texts | Arrays:
    place, known = f"teacher.student: input {name}", saved.shape.inputs.get(name)
    if known is None:
        raise StageError(f"{place}: {saved.student.name} does not say how it looked; train it again")
    if taken.text is None:
        return Arrays(taken, place, known, "the student's training")
    found = open_texts(taken, place)
    if found.shape != known:
        raise StageError(f"{place}: {taken.tokenizer} is not the tokenizer that the student was trained with")
    return found


def _column(maker: Texts | Arrays, rows: Rows) -> Column:
    """Texts and sequences padded to the longest of the rows."""
    if isinstance(maker, Texts):
        return _padded(maker.encoded(_texts(maker, rows), partial(_where, rows)), maker.padding)
    arrays = [maker.checked(array, _named(maker, rows, row)) for row, array in enumerate(_arrays(maker, rows))]
    if maker.source.max_tokens is None:
        return Column(torch.from_numpy(np.stack(arrays).astype(maker.shape.dtype, copy=False)))
    return _padded([array.astype(maker.shape.dtype, copy=False) for array in arrays], maker.padding)


def _padded(sequences: list[np.ndarray], padding: int) -> Column:
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    first = sequences[0]
    dtype = np.dtype(np.int64) if first.dtype == np.int32 else first.dtype  # token ids
    values = np.full((len(sequences), int(lengths.max()), *first.shape[1:]), padding, dtype)
    for row, sequence in enumerate(sequences):
        values[row, : len(sequence)] = sequence
    return Column(torch.from_numpy(values), torch.from_numpy(lengths))


def _texts(maker: Texts, rows: Rows) -> list[str]:
    captions: Any = [0.0] * len(rows.ids) if rows.captions is None else rows.captions.tolist()
    found = []
    for row, (value, choice) in enumerate(zip(rows.fields[maker.source.field], captions, strict=True)):
        text = pick_caption(value, choice)
        if text is None:
            raise DataError(
                f"{_where(rows, row)}: field {maker.source.field!r} holds neither a text nor a list of texts"
            )
        found.append(text)
    return found


def _arrays(maker: Arrays, rows: Rows) -> list[np.ndarray]:
    key = (maker.source.array or "").partition(".")[2] or None
    values = rows.fields[maker.source.field]
    return [number_array(value, key, _named(maker, rows, row)) for row, value in enumerate(values)]


def _named(maker: Arrays, rows: Rows, row: int) -> str:
    return f"{_where(rows, row)}: field {maker.source.array!r}"


def _where(rows: Rows, row: int) -> str:
    return f"sample {rows.ids[row]!r} of shard {rows.shard}"
