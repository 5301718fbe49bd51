"""Loader workers: decode, draw and replay views, prepare. Batches arrive in source order, a bounded number ahead."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import thread_time
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ....data import DataError, Sample, Shard, Source, ViewPolicy, decode_field
from ....data.errors import UndecodableError
from ....data.views.captions import drawn_captions
from ....data.views.replaying import replay_rows
from ...worker_errors import HandsOver, raised
from ...worker_signals import held_back, outlive_signals
from ..skipping import skipping_advice
from .batch import PreparedBatch
from .prepare import Prepare, Rows

Piece = tuple[str, int, int, bool]  # shard, first sample, one past the last, last piece of the shard


def plan_pieces(source: Source, shards: Sequence[str], samples: int) -> list[Piece]:
    """Cut shards into pieces of at most `samples` samples; a shard without samples is one empty piece."""
    pieces = []
    for shard in shards:
        count = len(source.open(shard))
        starts = range(0, max(1, count), samples)
        pieces += [(shard, start, min(start + samples, count), start + samples >= count) for start in starts]
    return pieces


@dataclass(frozen=True, slots=True)
class PreparedPieces(Dataset[PreparedBatch]):
    """Item i is piece i, prepared."""

    source: Source
    policy: ViewPolicy
    prepare: Prepare
    pieces: Sequence[Piece]
    keep_pixels: bool

    def __len__(self) -> int:
        return len(self.pieces)

    def __getitem__(self, number: int) -> PreparedBatch:
        started = thread_time()
        shard, start, stop, last = self.pieces[number]
        opened = self.source.open(shard)
        ids = np.asarray(opened.ids[start:stop], np.str_)
        parameters = self.policy.draw(opened.ids[start:stop], start, len(opened))
        try:
            rows = self._rows(opened, range(start, stop), parameters)
        except UndecodableError as error:
            raise DataError(f"{error}{skipping_advice(self.source)}") from error
        inputs = self.prepare(rows) if rows.ids else {}
        kept = torch.from_numpy(rows.views) if self.keep_pixels else None
        labels, seconds = opened.labels[start:stop], thread_time() - started
        return PreparedBatch(shard, start, stop, last, ids, labels, parameters, kept, inputs, seconds)

    def _rows(self, shard: Shard, places: range, parameters: np.ndarray) -> Rows:
        """What the teacher's inputs are made of, and nothing that nobody asked for."""
        samples = [shard[place] for place in places]
        images = self.prepare.images or self.keep_pixels
        views = self._views(shard, places, samples, parameters) if images else None
        kinds, count = self.source.kinds, self.policy.count
        fields = {
            name: [value for each in samples for value in [decode_field(each, name, kinds[name])] * count]
            for name in self.prepare.fields
        }
        ids = [sample.id for sample in samples for _ in range(count)]
        return Rows(shard.name, ids, views, fields, drawn_captions(self.policy, parameters))

    def _views(self, shard: Shard, places: range, samples: Sequence[Sample], parameters: np.ndarray) -> np.ndarray:
        policy = self.policy
        views = np.empty((len(parameters), policy.size, policy.size, policy.channels), np.uint8)

        def read(place: int) -> Sample:
            return samples[place - places.start] if place in places else shard[place]

        replay_rows(policy, read, np.repeat(np.arange(places.start, places.stop), policy.count), parameters, views)
        return views


def prepared_batches(pieces: PreparedPieces, workers: int, pin: bool) -> Iterator[PreparedBatch]:
    """The pieces in order, prepared by `workers` processes (0: here), two batches ahead of the device each."""
    ahead: dict[str, Any] = {"prefetch_factor": 2, "persistent_workers": False} if workers else {}
    items = HandsOver(pieces)
    loader = DataLoader(
        items,
        batch_size=None,
        num_workers=workers,
        collate_fn=_same,
        pin_memory=pin,
        worker_init_fn=outlive_signals,
        **ahead,
    )
    with held_back():
        batches = iter(loader)
    return raised(batches)


def _same(batch: Any) -> Any:
    return batch
