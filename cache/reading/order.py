"""The order in which rows are visited: blocks in random order, rows shuffled inside a window of blocks.

Every answer is a pure function of (seed, epoch, place), so a reader resumes anywhere without having walked there. A
*place* is a position in an epoch's order.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from .view_choice import ViewChoice

_ALL = ViewChoice(1, (0,))


def random_generator(*key: int) -> np.random.Generator:
    """A generator that depends on the whole key and nothing else."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


@dataclass(frozen=True, slots=True)
class Blocks:
    """Rows that lie together on disk: `starts` and `sizes` (blocks,) int64, in numbers of the chosen rows.

    Blocks follow one another without a gap. `choice` says which rows those numbers mean.
    """

    starts: np.ndarray
    sizes: np.ndarray
    choice: ViewChoice = _ALL

    @property
    def rows(self) -> int:
        """Chosen rows of all blocks."""
        return int(self.sizes.sum())

    def of(self, blocks: np.ndarray) -> np.ndarray:
        """Numbers of the chosen rows of some blocks, one block after another: (n,) int64."""
        sizes = self.sizes[blocks]
        ends = np.cumsum(sizes)
        found: np.ndarray = np.arange(sizes.sum()) + np.repeat(self.starts[blocks] - (ends - sizes), sizes)
        return found

    def extents(self, blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First chosen row of each block, and the row behind its last chosen one, as row numbers: (blocks,) int64."""
        starts = self.starts[blocks]
        return self.choice.rows(starts), self.choice.rows(starts + self.sizes[blocks] - 1) + 1


def row_blocks(counts: np.ndarray, block: int, choice: ViewChoice = _ALL) -> Blocks:
    """Blocks of `block` rows of shards with `counts` rows each; no block spans two shards. Those without a chosen row
    are left out."""
    counts = np.asarray(counts, np.int64)
    blocks, first = -(-counts // block), np.cumsum(counts) - counts
    number = np.arange(blocks.sum()) - np.repeat(np.cumsum(blocks) - blocks, blocks)
    starts = np.repeat(first, blocks) + number * block
    ends = np.minimum(starts + block, np.repeat(first + counts, blocks))
    chosen = choice.before(starts)
    sizes = choice.before(ends) - chosen
    return Blocks(chosen[sizes > 0], sizes[sizes > 0], choice)


class RowOrder(Protocol):
    """An endless sequence of epochs, each of which visits every chosen row once."""

    @property
    def rows(self) -> int:
        """Rows of an epoch."""

    @property
    def windows(self) -> int:
        """Windows of an epoch: runs of places whose rows come from the same blocks."""

    def epoch_rows(self, epoch: int, start: int, stop: int) -> np.ndarray:
        """Rows at places start..stop of an epoch: (stop - start,) int64."""

    def window_at(self, epoch: int, place: int) -> int:
        """Number of the window that holds a place of an epoch."""

    def window_extents(self, epoch: int, window: int) -> tuple[np.ndarray, np.ndarray]:
        """The runs of rows that a window reads: first rows, and the rows behind the last: (blocks,) int64 each."""


@dataclass(slots=True)
class ShuffledOrder:
    """Blocks in random order, and rows shuffled inside windows of at most `window` blocks.

    Windows share the blocks evenly, so that no epoch ends in a window of a block or two, whose batches would be all
    alike. Safe in threads: what is kept between calls is replaced whole.
    """

    blocks: Blocks
    window: int
    seed: int
    _plan: tuple[int, np.ndarray, np.ndarray] | None = field(default=None, repr=False)
    _kept: tuple[int, int, np.ndarray] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, counts: np.ndarray, block: int, window: int, seed: int, choice: ViewChoice = _ALL) -> "ShuffledOrder":
        """The order over shards with `counts` rows each, in blocks of `block` rows."""
        return cls(row_blocks(counts, block, choice), window, seed)

    @property
    def rows(self) -> int:
        return self.blocks.rows

    @property
    def windows(self) -> int:
        return -(-len(self.blocks.starts) // self.window)

    def epoch_rows(self, epoch: int, start: int, stop: int) -> np.ndarray:
        if start >= stop:
            return np.zeros(0, np.int64)
        ends = self._planned(epoch)[1]
        first, last = self.window_at(epoch, start), self.window_at(epoch, stop - 1)
        pieces = [self._shuffled(epoch, number) for number in range(first, last + 1)]
        offset = ends[first - 1] if first else 0
        return self.blocks.choice.rows(np.concatenate(pieces)[start - offset : stop - offset])

    def window_at(self, epoch: int, place: int) -> int:
        return int(np.searchsorted(self._planned(epoch)[1], place, side="right"))

    def window_extents(self, epoch: int, window: int) -> tuple[np.ndarray, np.ndarray]:
        return self.blocks.extents(np.sort(self._window_blocks(epoch, window)))

    def _planned(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Blocks in this epoch's order, and the place behind the last of each window."""
        plan = self._plan
        if plan is None or plan[0] != epoch:
            order = random_generator(self.seed, epoch).permutation(len(self.blocks.starts))
            ends = np.concatenate([[0], np.cumsum(self.blocks.sizes[order])])[self._bounds()[1:]]
            self._plan = plan = (epoch, order, ends)
        return plan[1], plan[2]

    def _bounds(self) -> np.ndarray:
        """Where in the order of blocks each window begins, and where the last one ends: (windows + 1,)."""
        return np.arange(self.windows + 1) * len(self.blocks.starts) // max(1, self.windows)

    def _window_blocks(self, epoch: int, window: int) -> np.ndarray:
        bounds = self._bounds()
        return self._planned(epoch)[0][bounds[window] : bounds[window + 1]]

    def _shuffled(self, epoch: int, window: int) -> np.ndarray:
        """Chosen rows of one window, shuffled; the last window asked for is kept."""
        kept = self._kept
        if kept is None or kept[:2] != (epoch, window):
            rows = self.blocks.of(self._window_blocks(epoch, window))
            self._kept = kept = (epoch, window, random_generator(self.seed, epoch, 1 + window).permutation(rows))
        return kept[2]


@dataclass(frozen=True, slots=True)
class SourceOrder:
    """Every epoch in the order of the source; a window is `window` blocks."""

    blocks: Blocks
    window: int

    @property
    def rows(self) -> int:
        return self.blocks.rows

    @property
    def windows(self) -> int:
        return -(-len(self.blocks.starts) // self.window)

    def epoch_rows(self, epoch: int, start: int, stop: int) -> np.ndarray:
        return self.blocks.choice.rows(np.arange(start, stop))

    def window_at(self, epoch: int, place: int) -> int:
        return int(np.searchsorted(self.blocks.starts, place, side="right") - 1) // self.window

    def window_extents(self, epoch: int, window: int) -> tuple[np.ndarray, np.ndarray]:
        first = window * self.window
        return self.blocks.extents(np.arange(first, min(first + self.window, len(self.blocks.starts))))
