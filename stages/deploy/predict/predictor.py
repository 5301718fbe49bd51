"""Asks a model about items of any kind, one or many, from any number of threads."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from ....data import DataError
from ...errors import StageError, StageFailed
from .model import Model
from .queue import Queue, Said, Waiting
from .reading import Kind, Row


class Predictor:
    """A model with a line of rows before it. Safe in threads: items are read in the caller's own, and the model takes
    what waits as one batch of at most `batch_size`, without waiting for more."""

    def __init__(self, model: Model, batch_size: int = 32) -> None:
        if batch_size < 1:
            raise StageError(f"batch_size is {batch_size}: a batch has one row at least")
        self.model, self._most = model, batch_size
        self._queue = Queue(model.run, batch_size, model.place)

    def predict(self, items: object, kind: Kind | None = None) -> dict[str, np.ndarray]:
        """{output: values} of one item, values (...), or of a list, tuple or iterator of them, (n, ...).

        An item is a picture (path, bytes of a file, PIL image, uint8 array), a text, an array of numbers or a .npy
        file; or {input name or kind: item} for a model that reads several things together. A model with a tower for
        each needs `kind` where a str could be either. Raises StageError or DataError that names the item, StageFailed
        for outputs that are not finite.
        """
        if not isinstance(items, list | tuple | Iterator):
            return dict(self._answers([items], kind, 0)[0])
        found: list[Said] = []
        rest: Iterator[object] = iter(items)
        while part := list(islice(rest, self._most)):  # a few at a time: others come in between
            found += self._answers(part, kind, len(found))
        if not found:
            raise StageError("there is nothing to predict: the list of items is empty")
        return _stacked(found)

    def answers(self, items: Iterable[object]) -> Iterator[Said | StageError | DataError]:
        """Of each item in turn {output: values (...)}, or what `predict` would raise of it: the others are answered."""
        rest, first = iter(items), 0
        while part := list(islice(rest, self._most)):
            rows = [self._tried(item, first + number) for number, item in enumerate(part)]
            self._queue.answer([row for row in rows if isinstance(row, Waiting)])
            yield from (self._settled(row) if isinstance(row, Waiting) else row for row in rows)
            first += len(part)

    def _tried(self, item: object, number: int) -> Waiting | StageError | DataError:
        try:
            return self._waiting(item, None, number)
        except (StageError, DataError) as error:
            return error

    def _answers(self, items: Sequence[object], kind: Kind | None, first: int) -> list[Said]:
        rows = [self._waiting(item, kind, first + number) for number, item in enumerate(items)]
        self._queue.answer(rows)
        found: list[Said] = []
        for row in rows:
            said = self._settled(row)
            if isinstance(said, StageError):
                raise said
            found.append(said)
        return found

    def _settled(self, row: Waiting) -> Said | StageError:
        """The answer of a row that the queue is done with, or its error."""
        if row.said is not None:
            return row.said
        return row.error if isinstance(row.error, StageError) else _failed(self.model, row)

    def _waiting(self, item: object, kind: Kind | None, number: int) -> Waiting:
        row: dict[str, np.ndarray] = {}
        parts = self._parts(item, kind)
        for name, part in parts.items():
            row |= self._read(name, part, number)
        given = frozenset(parts)
        if not self.model.outputs(given):
            raise StageError(
                f"{self.model.place} says nothing of {' and '.join(sorted(given))} alone; it reads "
                f"{', '.join(self.model.readings)}: give {{name: item}} of all of them"
            )
        return Waiting(row, given, str(item) if isinstance(item, str | Path) else f"item {number}")

    def _read(self, name: str, part: object, number: int) -> Row:
        if part is None:
            raise StageError(f"item {number} is None: give a picture, a text or an array for {name}")
        return self.model.readings[name].read(name, part)

    def _parts(self, item: object, kind: Kind | None) -> dict[str, object]:
        """{input: what it is made of}."""
        readings = self.model.readings
        if isinstance(item, Mapping):
            return {self._named(str(name)): part for name, part in item.items()}
        kind = kind or _kind_of(item, {one.kind for one in readings.values()})
        return {self._named(kind): item}

    def _named(self, name: str) -> str:
        """The input that a name or a kind means."""
        readings = self.model.readings
        fits = [name] if name in readings else [one for one, reading in readings.items() if reading.kind == name]
        if len(fits) != 1:
            reads = ", ".join(f"{one} ({reading.kind})" for one, reading in readings.items())
            raise StageError(f"{self.model.place} has {len(fits) or 'no'} inputs for {name!r}; it reads {reads}")
        return fits[0]


def _kind_of(item: object, kinds: set[Kind]) -> Kind:
    """What an item is where nobody has said: of a model that reads one kind of thing, that."""
    if len(kinds) == 1:
        return next(iter(kinds))
    if isinstance(item, str):
        return "text" if "image" not in kinds else _ambiguous(item)
    if isinstance(item, np.ndarray) and item.dtype != np.uint8 and "array" in kinds:
        return "array"
    return "image"


def _ambiguous(item: str) -> Kind:
    raise StageError(
        f"{item!r} may be a text or the path of a picture, and this model reads both: say kind='text' or kind='image', "
        "or give a pathlib.Path"
    )


def _failed(model: Model, row: Waiting) -> StageFailed:
    failed = StageFailed(f"{model.place} fails on {row.name} with {type(row.error).__name__}: {row.error}")
    failed.__cause__ = row.error
    return failed


def _stacked(found: Sequence[Said]) -> dict[str, np.ndarray]:
    return {name: _column(name, [one[name] for one in found]) for name in found[0]}


def _column(name: str, values: Iterable[np.ndarray]) -> np.ndarray:
    rows = list(values)
    if len({row.shape for row in rows}) > 1:
        raise StageError(f"output {name!r} has another shape for each item, such as one value a token: ask one by one")
    return np.stack(rows)
