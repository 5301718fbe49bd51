"""What one worker reads of an epoch, and where it stands."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ...cache.reading.epochs import EpochBatches
from ..errors import StageError
from .tensor_batch import TensorBatch


class Reading(Iterator[TensorBatch]):
    """One worker's part of an epoch: every `workers`-th batch, as a DataLoader takes them in turn.

    `worker` is (its number, how many there are); `ended` is called at the end; `refusal` is raised instead of a batch.
    """

    def __init__(
        self,
        batches: EpochBatches[TensorBatch],
        first: int,
        worker: tuple[int, int],
        ended: Callable[[], None],
        refusal: StageError | None,
    ) -> None:
        self._batches, self._number, self._worker = batches, first, worker
        self._ended, self._refusal = ended, refusal

    def __next__(self) -> TensorBatch:
        if self._refusal is not None:
            raise self._refusal
        if self._number >= self._batches.stop:
            self._ended()
            raise StopIteration
        number = self._number
        self._number += self._worker[1]
        return replace(self._batches.batch(number), epoch=self._batches.epoch, number=number)

    def place(self) -> dict[str, Any]:
        """Which batch comes next here, and of which worker this is the place (None: of the only one)."""
        worker = None if self._worker[1] == 1 else list(self._worker)
        return {"epoch": self._batches.epoch, "batch": min(self._number, self._batches.stop), "worker": worker}


def own_place(state: Mapping[str, Any], number: int, workers: int) -> tuple[int, int]:
    """Epoch and batch of a worker's own state. Raises StageError when it is not this worker's."""
    if list(state["worker"]) != [number, workers]:
        raise StageError(
            f"the state is that of worker {state['worker']}, this is {[number, workers]} (number, workers)"
        )
    return int(state["epoch"]), int(state["batch"])
