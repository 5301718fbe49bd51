"""The order in which rows are visited: blocks in random order, rows shuffled inside a window of blocks.

Every answer is a pure function of (seed, epoch, position), so a reader resumes anywhere without having walked there.
"""

from dataclasses import dataclass, field

import numpy as np


def random_generator(*key: int) -> np.random.Generator:
    """A generator that depends on the whole key and nothing else."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


@dataclass(slots=True)
class ShuffledOrder:
    """Order over rows that lie in blocks. `starts` and `sizes` (blocks,) int64; windows hold `window` blocks each."""

    starts: np.ndarray
    sizes: np.ndarray
    window: int
    seed: int
    _plan: tuple[int, np.ndarray, np.ndarray] | None = field(default=None, repr=False)
    _rows: tuple[int, int, np.ndarray] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, counts: np.ndarray, block: int, window: int, seed: int) -> "ShuffledOrder":
        """The order over shards with `counts` rows each, in blocks of `block` rows; no block spans two shards."""
        first = np.concatenate([[0], np.cumsum(counts)])[:-1]
        starts = np.concatenate([[0][:0], *(np.arange(s, s + n, block) for s, n in zip(first, counts, strict=True))])
        ends = np.concatenate(
            [[0][:0], *(np.arange(s, s + n, block) + block for s, n in zip(first, counts, strict=True))]
        )
        limit = np.concatenate([[0][:0], *(np.full(-(-n // block), s + n) for s, n in zip(first, counts, strict=True))])
        starts = starts.astype(np.int64)
        return cls(starts, np.minimum(ends, limit).astype(np.int64) - starts, window, seed)

    def epoch_rows(self, epoch: int, start: int, stop: int) -> np.ndarray:
        """Rows at positions start..stop of an epoch: (stop - start,) int64."""
        order, ends = self._blocks(epoch)
        first, last = np.searchsorted(ends, [start, stop - 1], side="right") // self.window
        pieces = [self._window(epoch, int(number), order) for number in range(first, last + 1)]
        offset = ends[first * self.window - 1] if first else 0
        return np.concatenate(pieces)[start - offset : stop - offset]

    def _blocks(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Blocks in this epoch's order, and how many rows lie up to the end of each."""
        if self._plan is None or self._plan[0] != epoch:
            order = random_generator(self.seed, epoch).permutation(len(self.starts))
            self._plan = (epoch, order, np.cumsum(self.sizes[order]))
        return self._plan[1], self._plan[2]

    def _window(self, epoch: int, number: int, order: np.ndarray) -> np.ndarray:
        """Rows of one window, shuffled; the last one asked for is kept."""
        if self._rows is None or self._rows[:2] != (epoch, number):
            blocks = order[number * self.window : (number + 1) * self.window]
            rows = np.concatenate([np.arange(self.starts[b], self.starts[b] + self.sizes[b]) for b in blocks])
            self._rows = (epoch, number, random_generator(self.seed, epoch, 1 + number).permutation(rows))
        return self._rows[2]
