"""What a shard's rows hold of one source, as arrays from which a batch is gathered without a loop over rows."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Held(Protocol):
    """What the rows of a shard hold of one source."""

    @property
    def values(self) -> np.ndarray:
        """All that takes memory; whoever keeps it may keep it elsewhere."""
        ...

    def moved(self, values: np.ndarray) -> "Held":
        """The same with equal values that lie elsewhere."""
        ...

    def lengths(self, rows: np.ndarray) -> np.ndarray | None:
        """int64 (n,): places of each row; None where all rows have one shape."""
        ...

    def fill(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Write rows into `out` (n, ...), as far as they go; the rest of `out` stays as it is."""
        ...


@dataclass(frozen=True, slots=True)
class Stacked:
    """Arrays of one shape: `values` (items, ...); row r is item `items[r]`."""

    values: np.ndarray
    items: np.ndarray

    def moved(self, values: np.ndarray) -> "Stacked":
        return Stacked(values, self.items)

    def lengths(self, rows: np.ndarray) -> None:
        return None

    def fill(self, rows: np.ndarray, out: np.ndarray) -> None:
        out[...] = self.values[self.items[rows]]


@dataclass(frozen=True, slots=True)
class Packed:
    """Sequences end to end: `values` (places, ...); item i is values[starts[i]:starts[i + 1]]; row r is `items[r]`."""

    values: np.ndarray
    starts: np.ndarray
    items: np.ndarray

    def moved(self, values: np.ndarray) -> "Packed":
        return Packed(values, self.starts, self.items)

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        items = self.items[rows]
        found: np.ndarray = self.starts[items + 1] - self.starts[items]
        return found

    def fill(self, rows: np.ndarray, out: np.ndarray) -> None:
        lengths = self.lengths(rows)
        ends = np.cumsum(lengths)
        places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(
            self.starts[self.items[rows]] - ends + lengths, lengths
        )
        out[np.arange(out.shape[1]) < lengths[:, None]] = self.values[places]


def pack(sequences: list[np.ndarray], items: np.ndarray) -> Packed:
    """Sequences (length, ...) end to end."""
    starts = np.concatenate([[0], np.cumsum([len(sequence) for sequence in sequences], dtype=np.int64)])
    return Packed(np.concatenate(sequences), starts, items)
