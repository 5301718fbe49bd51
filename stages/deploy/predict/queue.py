"""Rows that wait for a model, and who runs it: the thread that finds it free takes all that fit and answers them.

Nobody waits for others to come. A row that is alone is run at once, in its own thread; what arrives while the model
runs is the next batch. So batches grow with the load, and no setting says how long to wait.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...errors import StageError
from .reading import Row

Said = Mapping[str, np.ndarray]  # of a batch (B, ...), or of one row (...)
Run = Callable[[Mapping[str, np.ndarray], frozenset[str]], Said]


@dataclass(slots=True)
class Waiting:
    """One row: its tensors, the inputs that they are of, its name for messages; then its answer, or its error."""

    row: Row
    given: frozenset[str]
    name: str
    said: Said | None = None
    error: Exception | None = None
    form: tuple[object, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.form = (self.given, *sorted((name, values.shape) for name, values in self.row.items()))

    @property
    def done(self) -> bool:
        return self.said is not None or self.error is not None


class Queue:
    """Batches of at most `most` rows of one form: nothing is padded, so no answer hangs on its neighbours' length."""

    def __init__(self, run: Run, most: int, place: str) -> None:
        self._run, self._most, self._place = run, most, place
        self._rows: deque[Waiting] = deque()
        self._turn = threading.Lock()  # held by the thread that runs the model
        self._line = threading.Lock()  # held for moments, around the deque

    def answer(self, rows: Sequence[Waiting]) -> None:
        """Put rows in line, and come back when all have their answer or error."""
        with self._line:
            self._rows.extend(rows)
        for row in rows:
            while not row.done:
                with self._turn:
                    if not row.done:
                        self._step()

    def _step(self) -> None:
        batch = self._take()
        try:
            self._settle(batch)
        except BaseException:  # an interrupted thread's batch is others' too: they run it
            with self._line:
                self._rows.extendleft(reversed([row for row in batch if not row.done]))
            raise

    def _take(self) -> list[Waiting]:
        """The first row in line and those behind it that have its form; the others keep their places."""
        with self._line:
            form = self._rows[0].form
            chosen = [row for row in self._rows if row.form == form][: self._most]
            taken = {id(row) for row in chosen}
            self._rows = deque(row for row in self._rows if id(row) not in taken)
        return chosen

    def _settle(self, batch: Sequence[Waiting]) -> None:
        inputs = {name: np.stack([row.row[name] for row in batch]) for name in batch[0].row}
        try:
            said = self._run(inputs, batch[0].given)
        except Exception as error:
            if len(batch) > 1:  # one of them may be at fault, and the others must not pay for it
                for row in batch:
                    self._settle([row])
            else:
                batch[0].error = error
            return
        for number, row in enumerate(batch):
            own = {name: values[number] for name, values in said.items()}
            wrong = next((name for name, values in own.items() if not np.isfinite(values).all()), None)
            if wrong is None:
                row.said = own
            else:
                row.error = _not_finite(self._place, wrong, row.name)


def _not_finite(place: str, output: str, name: str) -> StageError:
    return StageError(
        f"{place}: output {output!r} of {name} is not finite (NaN or infinity): this model is broken for it; export or "
        "train it again"
    )
