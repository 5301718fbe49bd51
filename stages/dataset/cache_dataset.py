"""A cache as a dataset of torch: batches in shuffled order, for `DataLoader(dataset, batch_size=None, num_workers=N)`.

Whatever number of workers makes them, forked or spawned, the batches are those of one process, in the same order. It is
refused that batches of two states of a cache are mixed, that ranks read the same rows unasked, that an epoch is read
twice for want of `set_epoch`, and that reading goes on with other settings than those it was stopped with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from ...cache import Cache
from ...cache.reading.epochs import Batching, EpochBatches
from ..errors import StageError
from .reading import Reading, own_place
from .shared_epoch import SharedEpoch
from .tensor_batch import TensorBatch


class CacheDataset(IterableDataset[TensorBatch]):
    """Batches of `batch_size` rows of a cache as TensorBatch; the settings are those of `Cache.batches`.

    `rank` and `world` are torch.distributed's where it is initialised when the dataset is made. With `decoded=False`
    batches carry the signals' parts as they lie on disk, which are smaller; `decode` makes values of them, on the
    device. `len` is the number of batches left in the epoch that is read next. Raises CacheError for a cache with
    missing shards, and for a signal or view that it has not.
    """

    def __init__(
        self,
        cache: Cache,
        batch_size: int,
        signals: Sequence[str] | None = None,
        *,
        views: Sequence[int] | None = None,
        seed: int = 0,
        window: int = 64,
        rank: int | None = None,
        world: int | None = None,
        drop_last: bool = False,
        shuffle: bool = True,
        decoded: bool = True,
    ) -> None:
        cache.require_complete()
        chosen = None if views is None else tuple(views)
        self._cache, self._decoded, self._shuffle = cache, decoded, shuffle
        self._batching = Batching(batch_size, chosen, seed, window, *_ranks(rank, world), drop_last, shuffle)
        self._epochs = cache.epochs(self._batching)
        self._signals = cache.signals if signals is None else tuple(signals)
        self._codecs = {name: cache.codec(name) for name in self._signals}
        self._next, self._begun = SharedEpoch(), 0
        self._loaded: tuple[int, int] | None = None
        self._mine: Mapping[str, Any] | None = None
        self._reading: Reading | None = None

    def __getstate__(self) -> dict[str, Any]:
        """A spawned worker opens the cache again; codecs and a reading that is under way stay behind."""
        return {**self.__dict__, "_codecs": None, "_reading": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._codecs = {name: self._cache.codec(name) for name in self._signals}

    def __len__(self) -> int:
        return self._epochs.batches - self._next.next[1]

    @property
    def epoch(self) -> int:
        """The epoch that is read next, or is being read."""
        return self._next.next[0]

    def set_epoch(self, epoch: int) -> None:
        """Read this epoch next: from its beginning, or from where a state of this epoch that was just loaded says.

        To be called before each epoch, and before the loader's `iter`. Workers that persist learn of it.
        """
        start = self._loaded[1] if self._loaded and self._loaded[0] == epoch else 0
        self._go_to(epoch, start)
        self._loaded = None

    def state_dict(self, after: TensorBatch | None = None) -> dict[str, Any]:
        """Where to go on after a batch, as JSON.

        Without a batch: after the last one that this process made. Workers run ahead of the loop that takes their
        batches, so a process that made none raises StageError.
        """
        if after is not None:
            return {**self._epochs.identity(), "epoch": after.epoch, "batch": after.number + 1, "worker": None}
        if self._reading is None:
            raise StageError("this process made no batch; say after which batch to go on: state_dict(batch)")
        return {**self._epochs.identity(), **self._reading.place()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state says. Raises StageError naming what differs from the settings that it was taken under."""
        ours = self._epochs.identity()
        wrong = [f"{name} was {state.get(name)} and is {ours[name]}" for name in ours if state.get(name) != ours[name]]
        if wrong:
            raise StageError(f"the reading to go on with was another one: {'; '.join(wrong)}")
        if state["worker"] is not None:
            self._mine = dict(state)
            return
        self._go_to(int(state["epoch"]), int(state["batch"]))
        self._loaded = self._next.next

    def __iter__(self) -> "Reading":
        self._epochs.check_counts(self._cache.row_counts)
        worker = get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        iteration = (-1 if worker is None else worker.seed - worker.id, self._begun)
        self._begun += 1
        mine, self._mine = self._mine, None
        epoch, start = self._next.next if mine is None else own_place(mine, number, workers)
        batches = EpochBatches(self._epochs, self._read, self._prefetch, epoch, start)
        first = start + number if mine is None else start
        refusal = self._next.refusal(iteration) if self._shuffle else None
        self._reading = Reading(batches, first, (number, workers), partial(self._next.end, iteration), refusal)
        return self._reading

    def decode(self, batch: TensorBatch, device: torch.device | str = "cpu") -> TensorBatch:
        """An encoded batch on a device, its signals decoded there."""
        there = batch.to(device, non_blocking=True)
        return replace(there, signals={name: self._decode(name, parts) for name, parts in there.signals.items()})

    def _go_to(self, epoch: int, start: int) -> None:
        self._epochs.check(epoch, start)
        self._next.set(epoch, start)
        self._reading = None

    def _read(self, rows: np.ndarray) -> TensorBatch:
        index = self._cache.read(rows, ())
        parts = {name: _tensors(self._cache.encoded(name, rows)) for name in self._signals}
        signals = {name: self._decode(name, found) for name, found in parts.items()} if self._decoded else parts
        number, views, labels = torch.from_numpy(rows), index.views.astype(np.int64), index.labels
        return TensorBatch(-1, -1, number, index.ids, torch.from_numpy(views), torch.from_numpy(labels), signals)

    def _decode(self, name: str, parts: Mapping[str, Tensor]) -> Any:
        return self._codecs[name].decode(parts, self._cache.manifest.signals[name].shape)

    def _prefetch(self, starts: np.ndarray, stops: np.ndarray) -> None:
        self._cache.prefetch(self._signals, starts, stops)


def _ranks(rank: int | None, world: int | None) -> tuple[int, int]:
    """Rank and number of ranks: as given, else torch.distributed's, else the only one."""
    if (rank is None) != (world is None):
        raise StageError("rank and world belong together: give both, or neither")
    if rank is not None and world is not None:
        return rank, world
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def _tensors(parts: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    return {part: torch.from_numpy(array) for part, array in parts.items()}
