"""Epochs of batches: which rows each rank reads, when, and which it will need next. Knows no file and no signal.

Everything is a pure function of (settings, epoch, number of the batch): a reader that was stopped goes on at any batch,
and any worker may make any batch.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import xxhash

from ..errors import CacheError
from .division import Division
from .order import RowOrder, ShuffledOrder, SourceOrder, row_blocks
from .view_choice import choose_views

Read = TypeVar("Read")
Extents = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True)
class Batching:
    """How a cache is read in batches.

    `batch_size` rows a batch and rank; `views` None for all; `window` blocks whose rows are shuffled together;
    `shuffle` False for the order of the source; `drop_last` leaves out the last, smaller group.
    """

    batch_size: int
    views: tuple[int, ...] | None = None
    seed: int = 0
    window: int = 64
    rank: int = 0
    world: int = 1
    drop_last: bool = False
    shuffle: bool = True

    def __post_init__(self) -> None:
        if self.window < 1 or self.seed < 0:
            raise CacheError(f"window is {self.window} and seed {self.seed}; they must be at least 1 and 0")
        if not 0 <= self.rank < self.world:
            raise CacheError(f"rank is {self.rank}; with world={self.world} it is one of 0 to {self.world - 1}")


class Epochs:
    """Rows of every batch of every epoch, for shards with `counts` rows (shards,) in blocks of `block` rows."""

    def __init__(self, counts: np.ndarray, block: int, views: int, batching: Batching) -> None:
        self.batching, self._counts = batching, np.asarray(counts, np.int64)
        self._choice = choose_views(views, batching.views)
        blocks = row_blocks(self._counts, block, self._choice)
        self._order: RowOrder = (
            ShuffledOrder(blocks, batching.window, batching.seed)
            if batching.shuffle
            else SourceOrder(blocks, batching.window)
        )
        self._division = Division(blocks.rows, batching.batch_size, batching.world, batching.drop_last)
        self._layout = xxhash.xxh3_64_hexdigest(blocks.starts.tobytes() + blocks.sizes.tobytes())

    @property
    def batches(self) -> int:
        """Batches of an epoch."""
        return self._division.batches

    def check(self, epoch: int, start: int) -> None:
        """Raise CacheError unless an epoch can begin at batch `start`; its end counts as a start."""
        if epoch < 0 or not 0 <= start <= self.batches:
            raise CacheError(
                f"epoch {epoch} was to begin at batch {start}; epochs count from 0 and have {self.batches} batches"
            )

    def check_counts(self, counts: np.ndarray) -> None:
        """Raise CacheError when the shards are no longer those for which this was made: row numbers mean other rows."""
        if not np.array_equal(self._counts, counts):
            raise CacheError(
                f"the cache has {len(counts)} finished shards with {np.sum(counts)} rows here, and had "
                f"{len(self._counts)} with {self._counts.sum()} when its reading was planned; finish building it first"
            )

    def rows(self, epoch: int, number: int) -> np.ndarray:
        """Row numbers of this rank's batch: (n,) int64, ascending, which is how a disk likes them."""
        return np.sort(self._order.epoch_rows(epoch, *self._division.span(number, self.batching.rank)))

    def ahead(self, epoch: int, number: int, first: bool = False) -> list[Extents]:
        """Runs of rows that will be needed soon: the window behind each one that begins within this batch's group.

        Whoever makes the batch asks for them, and so every window is asked for once whoever makes which batch. `first`:
        nothing was read before this batch, so its own window is asked for too.
        """
        start, stop = self._division.group_span(number)
        begun = windows_begun(self._order, epoch, start, stop, first)
        return [self._order.window_extents(epoch, w) for w in begun if w < self._order.windows]

    def identity(self) -> dict[str, Any]:
        """All that the rows of a step depend on, as JSON: not the number of ranks, but their rows together."""
        settings = {name: value for name, value in asdict(self.batching).items() if name not in _OF_A_RANK}
        layout = {"views": list(self._choice.views), "rows": self._order.rows, "blocks": self._layout}
        return {**settings, **layout, "rows_of_all_ranks": self._division.group}


_OF_A_RANK = ("batch_size", "rank", "world")


def windows_begun(order: RowOrder, epoch: int, start: int, stop: int, first: bool) -> list[int]:
    """Windows that should be on their way when places start..stop are read: the one behind each that begins there.

    With `first` the one that holds `start` as well. The last number may be one beyond the epoch.
    """
    low, high = order.window_at(epoch, start), order.window_at(epoch, stop - 1)
    fresh = start == 0 or order.window_at(epoch, start - 1) < low
    behind = range(low + 1 if fresh or first else low + 2, high + 2)
    return [*([low] if first else []), *behind]


class EpochBatches(Generic[Read]):
    """The batches of one epoch from batch `start` on; `len` counts them. Each iteration reads them again.

    `read` makes a batch of its row numbers; `prefetch` is told which runs of rows come soon, and returns at once.
    """

    def __init__(
        self,
        epochs: Epochs,
        read: Callable[[np.ndarray], Read],
        prefetch: Callable[[np.ndarray, np.ndarray], None],
        epoch: int,
        start: int,
    ) -> None:
        epochs.check(epoch, start)
        self.epoch, self.start, self.stop = epoch, start, epochs.batches
        self._epochs, self._read, self._prefetch = epochs, read, prefetch

    def __reduce__(self) -> Any:
        raise TypeError("batches of an epoch stay in their process; hand on the cache, and call its `batches` there")

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[Read]:
        return (self.batch(number) for number in range(self.start, self.stop))

    def batch(self, number: int) -> Read:
        """One batch, by its number in the epoch."""
        for starts, stops in self._epochs.ahead(self.epoch, number, number == self.start):
            self._prefetch(starts, stops)
        return self._read(self._epochs.rows(self.epoch, number))
