"""Which epoch is read next, in memory that worker processes share: those that persist learn of a new epoch too.

Also remembers whether that epoch was read to its end. To read it twice without a word would be to train every epoch in
one order, the mistake that is made when `set_epoch` is forgotten; so that is refused.
"""

import torch

from ..errors import StageError

_SERIAL, _EPOCH, _START, _ENDED = 0, 1, 2, slice(3, 6)

Iteration = tuple[int, int]  # a number of the loader's workers, and how often they have begun


class SharedEpoch:
    """Epoch and first batch. Survives fork and spawn; one process sets it, all read it."""

    def __init__(self) -> None:
        self._cells = torch.full((6,), -1, dtype=torch.int64).share_memory_()
        self.set(0, 0)

    def set(self, epoch: int, start: int) -> None:
        """Read this epoch next, from batch `start` on."""
        self._cells[[_EPOCH, _START]] = torch.tensor([epoch, start])
        self._cells[_SERIAL] += 1

    @property
    def next(self) -> tuple[int, int]:
        """Epoch and first batch of the next iteration."""
        return int(self._cells[_EPOCH]), int(self._cells[_START])

    def end(self, iteration: Iteration) -> None:
        """Note that `iteration` has read the epoch to its end. All its workers write the same."""
        self._cells[_ENDED] = torch.tensor([int(self._cells[_SERIAL]), *iteration])

    def refusal(self, iteration: Iteration) -> StageError | None:
        """Why `iteration` may not begin: an earlier one has read the epoch to its end. Returned, for a DataLoader's
        worker hands on what is raised when it is asked for a batch, and dies of what is raised before."""
        serial, *ended = self._cells[_ENDED].tolist()
        if serial != int(self._cells[_SERIAL]) or tuple(ended) == iteration:
            return None
        return StageError(
            f"epoch {self.next[0]} was read to its end already, and would come again in the same order; call "
            "set_epoch before each epoch"
        )
