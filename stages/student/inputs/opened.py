"""An open shard of the source and what the cache stored of its rows: what inputs are made from."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ....data import Shard


@dataclass(frozen=True, slots=True)
class OpenedShard:
    """Row r is sample r // views. `kinds` are those of the source's fields, `drawn` (rows, ...) what the views have
    drawn of texts, None where they draw nothing."""

    shard: Shard
    kinds: Mapping[str, str]
    views: int
    drawn: np.ndarray | None

    def where(self, row: int) -> str:
        """Which sample a row is, for errors."""
        return f"sample {self.shard.ids[row // self.views]!r} of shard {self.shard.name}"
