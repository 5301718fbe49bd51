"""How many rows go through the teacher in one pass: as many as asked for or found, and half as many each time the
memory runs out. What is kept does not depend on it: rows stay in their order."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from ...errors import StageFailed
from ..inputs.batch import PreparedBatch
from .memory import ran_out, release

_T = TypeVar("_T")


class PassSize:
    """The size in force, `rows`, and what became of it."""

    def __init__(self, rows: int, device: torch.device) -> None:
        self.rows, self._first, self._device = rows, rows, device

    def halve(self, prepared: PreparedBatch) -> None:
        """After the memory ran out. Raises StageFailed where one row is too much already."""
        tried = min(self.rows, prepared.rows)
        if tried == 1:
            raise StageFailed(
                f"one row of shard {prepared.shard} does not fit into the memory of {self._device}: take a smaller "
                "teacher.dtype, or hear less (attention maps are large; `reduce` is done on the device)"
            )
        self.rows = (tried + 1) // 2

    def remark(self) -> str:
        """Empty where nothing happened."""
        if self.rows == self._first:
            return ""
        return f"batch size: {self.rows} rows, halved from {self._first} because the memory of {self._device} ran out"

    def run(self, prepared: PreparedBatch, batches: int, take: Callable[[PreparedBatch], _T]) -> Iterator[_T]:
        """What `take` returns of the parts of a piece, in order: parts of `batches` passes each. Where it runs out of
        memory the part is halved, and taken again."""
        todo = cut(prepared, self._samples(prepared, batches))
        while todo:
            part = todo.pop(0)
            try:
                found = take(part)
            except Exception as error:
                if not ran_out(error):
                    raise
            else:
                yield found
                continue
            self.halve(part)  # outside of the handler: its traceback holds what filled the memory
            release(self._device)
            todo = [*cut(part, self._samples(part, batches)), *todo]

    def _samples(self, prepared: PreparedBatch, batches: int) -> int:
        views = prepared.rows // max(1, len(prepared.ids))
        return max(1, self.rows // max(1, views)) * batches


def cut(prepared: PreparedBatch, samples: int) -> list[PreparedBatch]:
    """The piece in parts of at most so many samples, in order; the piece itself where it has no more."""
    count = len(prepared.ids)
    if count <= samples:
        return [prepared]
    return [_part(prepared, start, min(start + samples, count)) for start in range(0, count, samples)]


def _part(prepared: PreparedBatch, start: int, stop: int) -> PreparedBatch:
    count = len(prepared.ids)
    views = prepared.rows // count
    rows = slice(start * views, stop * views)
    return PreparedBatch(
        shard=prepared.shard,
        start=prepared.start + start,
        stop=prepared.stop if stop == count else prepared.start + stop,
        last=prepared.last and stop == count,
        ids=prepared.ids[start:stop],
        labels=prepared.labels[start:stop],
        parameters=prepared.parameters[rows],
        views=None if prepared.views is None else prepared.views[rows],
        inputs={name: x[rows] for name, x in prepared.inputs.items()},
    )
