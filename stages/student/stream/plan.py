"""Which rows of the cache make batch t: a pure function of (settings, t), so a killed run resumes anywhere.

Rows [0:labelled] of a batch come from the samples that keep their labels, the rest from the whole pool. Each part walks
its own endless sequence of shuffled epochs; nothing is dropped at an epoch's end.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ....cache import Cache
from ....cache.reading.epochs import Extents, windows_begun
from ....cache.reading.order import ShuffledOrder, random_generator
from ...errors import StageError
from ..spec import LabelledSpec, TrainSpec
from .mixed_rows import MixedRows

_LABELLED, _PARTNERS, _SUBSET = 1, 2, 3  # streams of random numbers that must not meet


@dataclass(frozen=True, slots=True)
class StepRows:
    """Rows of one batch, numbers of the whole cache: `rows` (B,) int64, ascending inside each part."""

    rows: np.ndarray
    labelled: int


class StepPlan:
    """Says which rows are in batch t, and which sample stands in for which in a shuffled cache."""

    def __init__(
        self,
        cache: Cache,
        train: TrainSpec,
        present: Mapping[str, np.ndarray] | None = None,
        mixed: MixedRows | None = None,
    ) -> None:
        """`present` says which samples have each label field, bool (samples,); `mixed` which views hold two samples."""
        self._present, self._mixed = present or {}, mixed
        self._train, self._views = train, cache.manifest.views
        self._order = ShuffledOrder.of(cache.row_counts, cache.manifest.block, train.window, train.shuffle_seed)
        self.rows, self.samples = cache.rows, cache.rows // cache.manifest.views
        if self.rows == 0:
            raise StageError(f"{cache.url} holds no row: nothing can be trained from it")
        self.labels = np.concatenate([cache.reader(shard).labels for shard in cache.shards])
        self._subset = None if train.labelled is None else self._choose(train.labelled)

    def step(self, step: int) -> StepRows:
        """The rows of batch `step`."""
        pool, labelled = np.sort(self._pool(step)), self._train.labelled
        if labelled is None or self._subset is None:
            return StepRows(pool, self._train.batch_size)
        first = np.sort(self._labelled(step * labelled.per_batch, labelled.per_batch, self._subset))
        return StepRows(np.concatenate([first, pool]), labelled.per_batch)

    def label_samples(self, rows: np.ndarray, step: int) -> np.ndarray:
        """Whose labels the rows of batch `step` have, int64 (n,): their samples', or a mixed view's partner's."""
        if self._mixed is None:
            found: np.ndarray = rows // self._views
            return found
        return self._mixed.samples(rows, step, self._train.shuffle_seed)

    def ahead(self, step: int, first: bool = False) -> list[Extents]:
        """Runs of rows that will be needed soon (see `Epochs.ahead`); behind the last window lies the next epoch.

        The labelled rows are not among them: they are few, and come again and again.
        """
        found, order = [], self._order
        for epoch, start, stop in self._spans(step):
            for window in windows_begun(order, epoch, start, stop, first):
                beyond = window == order.windows
                found.append(order.window_extents(epoch + beyond, 0 if beyond else window))
            first = False
        return found

    def partners(self, rows: np.ndarray) -> np.ndarray:
        """For each row the row of another sample, under the same view: one fixed cycle through all samples."""
        found: np.ndarray = self._partner[rows // self._views] * self._views + rows % self._views
        return found

    @cached_property
    def _partner(self) -> np.ndarray:
        order = random_generator(self._train.shuffle_seed, _PARTNERS).permutation(self.samples)
        partner = np.empty_like(order)
        partner[order] = np.roll(order, -1)
        return partner

    def _pool(self, step: int) -> np.ndarray:
        pieces = [self._order.epoch_rows(*span) for span in self._spans(step)]
        return np.concatenate([np.zeros(0, np.int64), *pieces])

    def _spans(self, step: int) -> Iterator[tuple[int, int, int]]:
        """(epoch, first place, place behind the last) of the rows that a batch takes from the whole pool."""
        labelled = self._train.labelled
        count = self._train.batch_size - (labelled.per_batch if labelled else 0)
        position = step * count
        while count > 0:
            epoch, start = divmod(position, self.rows)
            take = min(count, self.rows - start)
            yield epoch, start, start + take
            position, count = position + take, count - take

    def _labelled(self, position: int, count: int, rows: np.ndarray) -> np.ndarray:
        pieces = []
        while count > 0:
            epoch, start = divmod(position, len(rows))
            take = min(count, len(rows) - start)
            shuffled = random_generator(self._train.shuffle_seed, _LABELLED, epoch).permutation(rows)
            pieces.append(shuffled[start : start + take])
            position, count = position + take, count - take
        return np.concatenate(pieces)

    def _have(self, spec: LabelledSpec) -> np.ndarray:
        """Which samples may be chosen, bool (samples,)."""
        if spec.fields is None:
            return np.asarray(self.labels >= 0)
        found: np.ndarray = np.logical_and.reduce([self._present[field] for field in spec.fields])
        return found

    def labelled_samples(self) -> np.ndarray:
        """Numbers of the samples whose labels are seen."""
        return np.arange(self.samples) if self._subset is None else np.unique(self._subset // self._views)

    def _choose(self, spec: LabelledSpec) -> np.ndarray:
        """Rows (all views, but those mixed with others) of the samples that keep their labels."""
        if spec.per_batch > self._train.batch_size:
            raise StageError(
                f"train.labelled.per_batch ({spec.per_batch}) is more than train.batch_size ({self._train.batch_size})"
            )
        candidates = np.flatnonzero(self._have(spec))
        if len(candidates) < spec.count:
            what = f"{' and '.join(spec.fields)}" if spec.fields else "a label"
            hint = "" if spec.fields else "; where labels are fields, name them under train.labelled.fields"
            raise StageError(
                f"train.labelled.count is {spec.count}, and only {len(candidates)} samples have {what}{hint}"
            )
        chosen = np.sort(random_generator(spec.seed, _SUBSET).permutation(candidates)[: spec.count])
        rows: np.ndarray = (chosen[:, None] * self._views + np.arange(self._views)).reshape(-1)
        return rows if self._mixed is None else self._mixed.known(rows)
