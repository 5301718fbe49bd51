"""Held-out samples with the teacher's logits, walked in the cache's order: one read for everyone who is evaluated.

It shuffles nothing, and leaves out what cannot be scored: samples without a label, and every view but the plain one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...cache import Cache, HeadLogits, SampledTargets, SparseLogits
from ..errors import StageError
from ..student.stream.join import Join
from .predictions import TeacherLogits


@dataclass(frozen=True, slots=True)
class HeldOutBatch:
    """B labelled samples: `rows` (B,) of the cache, `ids` (B,) str, `labels` (B,) int64, `teacher` decoded logits
    on the CPU in float64, (B, C), SparseLogits or SampledTargets."""

    rows: np.ndarray
    ids: np.ndarray
    labels: Tensor
    teacher: TeacherLogits


class HeldOut:
    """The labelled samples of a complete cache. `classes` is the width of the logits; `unlabelled` counts the others.

    Raises CacheError for a cache with missing shards or without the signal; StageError when the signal is no logits, no
    sample has a label, or a label is no class of the teacher's.
    """

    def __init__(self, cache: Cache, join: Join, signal: str = "logits") -> None:
        cache.require_complete((signal,))
        self._cache, self._join, self._signal, self._codec = cache, join, signal, cache.codec(signal)
        self._shape = cache.manifest.signals[signal].shape
        logits = cache.manifest.signals[signal].target_shape
        if len(logits) != 1:
            raise StageError(f"{cache.url}: signal {signal!r} has rows of shape {logits}; logits have one axis")
        self.classes = logits[0]
        labels = np.concatenate([np.zeros(0, np.int64), *(cache.reader(shard).labels for shard in cache.shards)])
        self._rows = np.flatnonzero(labels >= 0) * cache.manifest.views
        self._labels = labels[labels >= 0]
        self.unlabelled = len(labels) - len(self._labels)
        self._check()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names in the order of the logits; their numbers when nobody named as many."""
        names = self._cache.manifest.classes
        return names if len(names) == self.classes else tuple(str(number) for number in range(self.classes))

    @property
    def cache(self) -> Cache:
        return self._cache

    def batches(self, size: int) -> Iterator[HeldOutBatch]:
        """All labelled samples, `size` at a time. The pixels are not read; see `views`."""
        for start in range(0, len(self), size):
            rows = self._rows[start : start + size]
            labels = torch.from_numpy(self._labels[start : start + size])
            yield HeldOutBatch(rows, self._join.ids(rows), labels, self._teacher(rows))

    def views(self, batch: HeldOutBatch) -> Tensor:
        """The canonical views of a batch, uint8 (B, H, W, C), on the CPU."""
        return torch.from_numpy(self._join.views(batch.rows))

    def _teacher(self, rows: np.ndarray) -> TeacherLogits:
        parts = {name: torch.from_numpy(part) for name, part in self._cache.encoded(self._signal, rows).items()}
        decoded = self._codec.decode(parts, self._shape)
        if isinstance(decoded, SparseLogits):
            tails = {temperature: tail.double() for temperature, tail in decoded.tails.items()}
            return replace(decoded, values=decoded.values.double(), tails=tails)
        if isinstance(decoded, SampledTargets):
            weights = {temperature: weight.double() for temperature, weight in decoded.weights.items()}
            return replace(decoded, weights=weights, entropy=decoded.entropy.double())
        dense = decoded.logits() if isinstance(decoded, HeadLogits) else decoded
        return torch.as_tensor(dense).double()

    def _check(self) -> None:
        root = self._cache.url
        if not len(self):
            raise StageError(
                f"{root}: none of its {self.unlabelled} held-out samples has a label, so nothing can be scored; "
                "give evaluate.source labels (evaluate.source.label names the field that holds them)"
            )
        if int(self._labels.max()) >= self.classes:
            worst = int(np.argmax(self._labels))
            name = str(self._join.ids(self._rows[worst : worst + 1])[0])
            raise StageError(
                f"{root}: held-out sample {name!r} has label {self._labels[worst]}, and the teacher knows classes 0 to "
                f"{self.classes - 1}; number the labels of evaluate.source as the teacher does"
            )
