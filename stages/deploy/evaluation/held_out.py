"""Held-out samples with what the teacher said of them, in the cache's order: one read for all that are evaluated.

It shuffles nothing, and leaves out what cannot be scored: every view but the plain one, and samples without a label
where no metric reads anything else.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....cache import Cache, HeadLogits, SampledTargets, SparseLogits
from ...errors import StageError
from ...student.inputs.columns import SharedInputs
from ...student.inputs.feed import Feed
from ...student.inputs.spec import InputSource
from ...student.stream.join import Join
from ..metrics.metric_spec import ClassificationSpec, MetricSpec
from .predictions import TeacherLogits
from .targets import classes_of, read_targets


@dataclass(frozen=True, slots=True)
class HeldOutBatch:
    """B samples: `rows` (B,) of the cache, `ids` (B,) str, `labels` (B,) int64, -1 for none, `fields` of the source by
    name as `read_targets` says, `signals` decoded on the CPU in float64: (B, ...), SparseLogits or SampledTargets."""

    rows: np.ndarray
    ids: np.ndarray
    labels: Tensor
    signals: Mapping[str, TeacherLogits]
    fields: Mapping[str, np.ndarray]

    def classes(self, field: str | None) -> np.ndarray:
        """Class numbers (B,) int64, -1 for none: a field's, or the samples' own where `field` is None."""
        return self.labels.numpy() if field is None else classes_of(self.fields[field], field)

    @staticmethod
    def part(values: TeacherLogits, places: Tensor) -> TeacherLogits:
        """Some rows of a decoded signal."""
        if isinstance(values, SparseLogits):
            tails = {name: tail[places] for name, tail in values.tails.items()}
            entropy = None if values.entropy is None else values.entropy[places]
            return replace(values, ids=values.ids[places], values=values.values[places], tails=tails, entropy=entropy)
        if isinstance(values, SampledTargets):
            weights = {name: weight[places] for name, weight in values.weights.items()}
            return replace(values, ids=values.ids[places], weights=weights, entropy=values.entropy[places])
        return values[places]


class HeldOut:
    """The samples of a complete cache that some metric scores. `unlabelled` counts those that are left out for want of
    a label; `name` is that of the set.

    Raises CacheError for a cache with missing shards or without a signal; StageError when the logits of a
    classification are none, no sample has the label that all metrics ask for, or a label is no class of the teacher's.
    """

    def __init__(
        self,
        cache: Cache,
        join: Join,
        metrics: Sequence[MetricSpec] = (ClassificationSpec(),),
        name: str = "held-out",
    ) -> None:
        self.metrics, self.name = tuple(metrics), name
        self.signals = tuple(dict.fromkeys(s for one in metrics for s in one.pairs.values() if s is not None))
        cache.require_complete(self.signals)
        self._cache, self._join = cache, join
        labels = np.concatenate([np.zeros(0, np.int64), *(cache.reader(shard).labels for shard in cache.shards)])
        views = cache.manifest.views
        scored = labels >= 0 if all(_needs_labels(one) for one in metrics) else np.ones(len(labels), np.bool_)
        self._samples = np.flatnonzero(scored)
        self._rows, self._labels = self._samples * views, labels[scored]
        self.unlabelled = len(labels) - len(self._samples)
        names = list(dict.fromkeys(field for one in metrics for field in one.fields))
        self._fields = read_targets(join, names)
        self._check()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def classes(self) -> int:
        """The width of the logits of the first classification; of none, how many classes have names."""
        first = next((one for one in self.metrics if isinstance(one, ClassificationSpec) and one.signal), None)
        if first is None or first.signal is None:
            return len(self._cache.manifest.classes)
        return self._cache.manifest.signals[first.signal].target_shape[0]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names in the order of the logits; their numbers when nobody named as many."""
        names = self._cache.manifest.classes
        return names if len(names) == self.classes else tuple(str(number) for number in range(self.classes))

    @property
    def cache(self) -> Cache:
        return self._cache

    def batches(self, size: int) -> Iterator[HeldOutBatch]:
        """All scored samples, `size` at a time. The inputs are not read; see `inputs`."""
        for start in range(0, len(self), size):
            rows, samples = self._rows[start : start + size], self._samples[start : start + size]
            labels = torch.from_numpy(self._labels[start : start + size])
            signals = {name: self._decoded(name, rows) for name in self.signals}
            fields = {name: column[samples] for name, column in self._fields.items()}
            yield HeldOutBatch(rows, self._join.ids(rows), labels, signals, fields)

    @property
    def kinds(self) -> Mapping[str, str]:
        """Kind of each field of its samples by name, image among them where there are images."""
        return self._join.kinds

    @property
    def view_shape(self) -> tuple[int, int, int]:
        """Of a canonical view: (height, width, channels)."""
        return self._join.policy.size, self._join.policy.size, self._join.policy.channels

    def feed(self, sources: Mapping[InputSource, str]) -> Feed:
        """What gives students their inputs; see there."""
        return Feed(self._join, sources)

    def views(self, batch: HeldOutBatch) -> Tensor:
        """The canonical views of a batch, uint8 (B, H, W, C), on the CPU."""
        return torch.from_numpy(self._join.views(batch.rows))

    def inputs(self, feed: Feed, batch: HeldOutBatch, device: torch.device) -> SharedInputs:
        """The inputs of a batch on a device, for all students."""
        return feed.shared(batch.rows, device)

    def _decoded(self, name: str, rows: np.ndarray) -> TeacherLogits:
        parts = {part: torch.from_numpy(values) for part, values in self._cache.encoded(name, rows).items()}
        decoded: Any = self._cache.codec(name).decode(parts, self._cache.manifest.signals[name].shape)
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
        for metric in self.metrics:
            if isinstance(metric, ClassificationSpec) and metric.signal is not None:
                self._check_logits(metric, metric.signal)

    def _check_logits(self, metric: ClassificationSpec, signal: str) -> None:
        """The signal has logits, and every label is one of their classes."""
        root, shape = self._cache.url, self._cache.manifest.signals[signal].target_shape
        if len(shape) != 1:
            raise StageError(
                f"{root}: evaluate.metrics: classification reads one row of logits a sample, and signal {signal!r} has "
                f"{shape}; name another signal or metric. Of logits a token there is none yet: `cache build`, `train` "
                "and `export` do without"
            )
        labels = self._labels if metric.label is None else classes_of(self._fields[metric.label], metric.label)
        if labels.max(initial=-1) >= shape[0]:
            worst = int(np.argmax(labels))
            name = str(self._join.ids(self._rows[worst : worst + 1])[0])
            raise StageError(
                f"{root}: held-out sample {name!r} has label {labels[worst]}, and the teacher knows classes 0 to "
                f"{shape[0] - 1}; number the labels of evaluate.source as the teacher does"
            )


def _needs_labels(metric: MetricSpec) -> bool:
    """Whether a metric scores nothing but samples that have a class number."""
    return isinstance(metric, ClassificationSpec) and metric.label is None
