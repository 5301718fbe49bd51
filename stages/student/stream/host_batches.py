"""Batches on the host, before anything is decoded: each a pure function of its number, so any worker may make it.

Of several processes that train together each reads the rows of its own part alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import Dataset

from ....cache import Cache
from ...cache_identity import PIXELS
from ..inputs.columns import Column
from ..inputs.feed import Feed
from ..inputs.labels import LabelField
from ..ranks.division import WHOLE, Division
from ..spec import InputSource
from .batch import WholeBatch
from .pinned import as_tensors, pinned_parts
from .plan import StepPlan

Parts = dict[str, dict[str, torch.Tensor]]


@dataclass(frozen=True, slots=True)
class HostBatch:
    """A joined batch on the host: encoded parts, not yet decoded. `whole` is what it is a part of."""

    step: int
    rows: np.ndarray
    views: torch.Tensor | None
    labels: torch.Tensor
    labelled: int
    signals: Parts
    shuffled: Parts
    columns: Mapping[InputSource, Column]
    fields: Mapping[str, torch.Tensor]
    whole: WholeBatch | None = None

    def pin_memory(self) -> "HostBatch":
        """Called by the DataLoader's pinning thread: copies to the device then overlap with its work."""
        return replace(
            self,
            views=None if self.views is None else self.views.pin_memory(),
            labels=self.labels.pin_memory(),
            signals=_pinned(self.signals),
            shuffled=_pinned(self.shuffled),
            columns={source: column.pin_memory() for source, column in self.columns.items()},
            fields={name: values.pin_memory() for name, values in self.fields.items()},
        )


@dataclass(frozen=True, slots=True)
class HostBatches(Dataset[HostBatch]):
    """Item t is batch t; a pure function of t, so any worker may make it. Nothing was read before item `first`. With
    `pinned` signals are gathered straight into pinned memory, which a worker process cannot do."""

    cache: Cache
    feed: Feed
    fields: Mapping[str, LabelField]
    plan: StepPlan
    signals: Sequence[str]
    shuffled: bool
    hide_labels: bool
    first: int = 0
    pinned: bool = False
    division: Division = WHOLE

    def __getitem__(self, step: int) -> HostBatch:
        self._prefetch(step)
        chosen = self.plan.step(step)
        samples = self.plan.label_samples(chosen.rows, step)
        labels = self.plan.labels[samples]
        fields = {name: field.values[samples] for name, field in self.fields.items()}
        if self.hide_labels:
            for hidden, nothing in ((labels, -1), *((values, 0) for values in fields.values())):
                hidden[chosen.labelled :] = nothing
        all_labels = torch.from_numpy(labels)
        all_fields = {name: torch.from_numpy(values) for name, values in fields.items()}
        if self.division.size == 1:
            return self._joined(step, chosen.rows, chosen.labelled, all_labels, all_fields)
        places = self.division.places(len(chosen.rows), chosen.labelled)
        own = torch.from_numpy(places)
        return replace(
            self._joined(
                step,
                chosen.rows[places],
                int((places < chosen.labelled).sum()),
                all_labels[own],
                {name: values[own] for name, values in all_fields.items()},
            ),
            whole=WholeBatch(chosen.rows, chosen.labelled, places, all_labels, all_fields),
        )

    def _joined(
        self, step: int, rows: np.ndarray, labelled: int, labels: torch.Tensor, fields: Mapping[str, torch.Tensor]
    ) -> HostBatch:
        """Rows with all that students see of them."""
        partners = self.plan.partners(rows) if self.shuffled else rows
        return HostBatch(
            step,
            rows,
            self.feed.views(rows),
            labels,
            labelled,
            self._read(rows),
            self._read(partners) if self.shuffled else {},
            self.feed.columns(rows, self.pinned),
            fields,
        )

    def _prefetch(self, step: int) -> None:
        pixels = [PIXELS] if self.feed.images and PIXELS in self.cache.manifest.signals else []
        for starts, stops in self.plan.ahead(step, step == self.first):
            self.cache.prefetch([*self.signals, *pixels], starts, stops)

    def _read(self, rows: np.ndarray) -> Parts:
        return {name: self._encoded(name, rows) for name in self.signals}

    def _encoded(self, name: str, rows: np.ndarray) -> dict[str, torch.Tensor]:
        if not self.pinned:
            return {part: torch.from_numpy(x) for part, x in self.cache.encoded(name, rows).items()}
        there = pinned_parts(self.cache.manifest.signals[name], len(rows))
        return as_tensors(self.cache.encoded(name, rows, {part: x.numpy() for part, x in there.items()}), there)


def _pinned(parts: Parts) -> Parts:
    return {name: {part: x.pin_memory() for part, x in found.items()} for name, found in parts.items()}
