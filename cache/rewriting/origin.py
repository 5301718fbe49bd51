"""Where the encoded rows of a rewritten signal come from: the seam that recode and merge fill; here, copied rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..cache import Cache
from ..codecs import Codec, Ragged
from ..format.receipt import Receipt

Encoded = Mapping[str, np.ndarray]  # {part: (rows, ...)}
Figures = Mapping[str, float]


class Origin(Protocol):
    """Encoded rows of one signal of a new cache."""

    def encoded(self, shard: str, rows: np.ndarray) -> tuple[Encoded, Figures]:
        """Rows of a shard, by their numbers in the parents, and what encoding them has lost (nothing when copied)."""

    def measured(self, shard: str) -> Figures:
        """What was lost before, as the parent's receipt says; for signals that are copied."""


@dataclass(frozen=True, slots=True)
class Copied:
    """A signal of a parent, its parts copied without decoding."""

    parent: Cache
    signal: str

    def encoded(self, shard: str, rows: np.ndarray) -> tuple[Encoded, Figures]:
        return encoded_rows(self.parent, self.signal, shard, rows), {}

    def measured(self, shard: str) -> Figures:
        for receipt in member_receipts(self.parent, shard):
            if self.signal in receipt.error:
                return dict(receipt.error[self.signal])
        return {}


def encode(codec: Codec, values: Any, shape: tuple[int, ...]) -> tuple[Encoded, Figures]:
    """Values as parts, and what that has lost, measured by decoding them."""
    parts = {name: np.asarray(part) for name, part in codec.encode(values).items()}
    rows = len(values.lengths) if isinstance(values, Ragged) else len(values)
    return parts, codec.error(values, codec.decode(parts, shape)) if rows else {}


def encoded_rows(cache: Cache, signal: str, shard: str, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Encoded rows of a finished shard, by their numbers in it."""
    return cache.encoded(signal, first_row(cache, shard) + rows)


def first_row(cache: Cache, shard: str) -> int:
    """Number of the first row of a finished shard."""
    return int(cache.row_counts[: cache.shards.index(shard)].sum())


def shard_rows(cache: Cache, shard: str) -> int:
    """Rows of a finished shard."""
    return int(cache.row_counts[cache.shards.index(shard)])


def member_receipts(cache: Cache, shard: str) -> list[Receipt]:
    """Receipts of a finished shard: one of each member that holds a part of it."""
    return [member.receipts[shard] for member in cache.members if shard in member.receipts]
