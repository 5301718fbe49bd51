"""Measures contenders side by side: each round runs every one of them once, and the order turns from round to round.

Seconds of two runs cannot be compared on a machine that does other things too; the ratio of two contenders of one round
can. What is reported is the median of the rounds' ratios, with the lowest and the highest of them.
"""

import gc
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

Clock = Literal["wall", "cpu"]


class Watch:
    """Times one call of a contender, from end to end unless the contender says `start` or `stop` itself."""

    def __init__(self) -> None:
        self._stopped: np.ndarray | None = None
        self.start()

    def start(self) -> None:
        """What came before does not count."""
        self._started = _now()

    def stop(self) -> None:
        """What comes after does not count."""
        if self._stopped is None:
            self._stopped = _now()

    def seconds(self) -> np.ndarray:
        """(wall, cpu) between start and stop."""
        assert self._stopped is not None
        return self._stopped - self._started


@dataclass(frozen=True, slots=True)
class Contender:
    """Something to be timed; one call of `run` does `units` batches, rows or steps."""

    units: int
    run: Callable[[Watch], None]


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as fast: median, lowest and highest of the rounds."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds a unit of every contender in every round: {name: (rounds, 2)}, wall and cpu."""

    seconds: Mapping[str, np.ndarray]

    def rate(self, name: str, clock: Clock = "wall") -> float:
        """Units a second, the median of the rounds."""
        return float(np.median(1.0 / self._column(name, clock)))

    def ratio(self, ours: str, reference: str, clock: Clock = "wall") -> Ratio:
        """Speed of `ours` as a multiple of `reference`'s, compared round by round."""
        ratios = self._column(reference, clock) / self._column(ours, clock)
        return Ratio(float(np.median(ratios)), float(ratios.min()), float(ratios.max()))

    def _column(self, name: str, clock: Clock) -> np.ndarray:
        return np.maximum(self.seconds[name][:, 0 if clock == "wall" else 1], 1e-12)


def contest(contenders: Mapping[str, Contender], rounds: int, warm_up: bool = True) -> Outcome:
    """Run every contender once a round, after a round that does not count."""
    names = list(contenders)
    if warm_up:
        for name in names:
            _time(contenders[name])
    spent: dict[str, list[np.ndarray]] = {name: [] for name in names}
    gc.collect()
    gc.freeze()  # a collection in the middle of a contender walks over what it made itself, not over all libraries
    try:
        for number in range(rounds):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                spent[name].append(_time(contenders[name]))
    finally:
        gc.unfreeze()
    return Outcome({name: np.array(times) for name, times in spent.items()})


def _time(contender: Contender) -> np.ndarray:
    gc.collect()
    watch = Watch()
    contender.run(watch)
    watch.stop()
    return watch.seconds() / contender.units


def _now() -> np.ndarray:
    """(wall, cpu) now; cpu counts all threads, and the processes that have been waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return np.array([time.perf_counter(), time.process_time() + children.ru_utime + children.ru_stime])
