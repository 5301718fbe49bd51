"""What one trial takes of a GPU: what it holds between its steps, and the most within one. Held against its budget.

Trials of a fleet take their steps one after another as far as the host goes, and each has a pool of memory of its own
on its lane, so what they take together is the sum of these figures. The batch is nobody's, and comes on top.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ...errors import StageFailed
from .gpu import meter_of

GB = 1_000_000_000
_FIRST = 3  # steps that are measured: the first makes the optimiser's state, the second holds it from the beginning


class OverBudget(StageFailed):
    """A trial that takes more memory than its student is allowed."""

    @property
    def reason(self) -> str:
        """The line that stands in `failed.json`."""
        return str(self)


class Footprint:
    """The memory of a trial of a student. `most` are the bytes that it took at most, as far as it was measured: 0 on
    devices that are no GPU. `budget` is in GB."""

    def __init__(self, device: torch.device, student: str, budget: float | None) -> None:
        self.most, self._held, self._steps = 0, 0, 0
        self._meter, self._student, self._budget = meter_of(device), student, budget

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Within the context the trial is built; what it takes, it holds."""
        with self._measured(True):
            yield

    @contextmanager
    def step(self, also: bool = False) -> Iterator[None]:
        """Within the context the trial takes a step; the first ones are measured, and this one if it is `also` to be.

        Raises OverBudget with the figures after one that took too much.
        """
        self._steps += 1
        with self._measured(also or self._steps <= _FIRST):
            yield
        if self._budget is not None and self.most > self._budget * GB:
            raise OverBudget(
                f"it took {self.most / GB:.3g} GB of the GPU, and students.{self._student}.memory is {self._budget:g}; "
                "raise it, or let optimizer.micro_batch be smaller"
            )

    @contextmanager
    def _measured(self, asked: bool) -> Iterator[None]:
        meter = self._meter if asked else None
        if meter is None:
            yield
            return
        before = meter.allocated()
        meter.reset()
        yield
        self.most = max(self.most, self._held + meter.peak() - before)
        self._held += meter.allocated() - before
