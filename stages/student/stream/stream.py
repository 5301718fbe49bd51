"""The stream of batches that all trials share: rows in planned order, joined, read once, copied once, decoded once."""

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch.utils.data import DataLoader

from ....cache import Cache, HeadLogits, SignalSchema
from ...errors import StageError
from ...worker_errors import HandsOver, raised
from ...worker_signals import held_back, outlive_signals
from ..inputs.feed import Feed
from ..inputs.kept import MEMORY
from ..inputs.labels import LabelShape, read_labels
from ..inputs.shape import InputShape
from ..objective.kept import Kept, KeptOfCache
from ..objective.scores import sample_scores
from ..objective.spec import SampleWeightSpec
from ..ranks.division import WHOLE, Division
from ..spec import InputSource, InputSpec, TrainSpec
from .batch import Batch, Target, WholeBatch
from .host_batches import HostBatch, HostBatches, Parts
from .join import Join
from .mixed_rows import mixed_rows
from .plan import StepPlan

_AHEAD = 2  # batches that wait for the device

_IMAGES = {InputSource(image=InputSpec()): "input"}


class Stream:
    """Batches of a complete cache joined to its source, on a device.

    Only `signals`, `sources` (what students see; images when left out) and the label `fields` are read, and of each
    batch the part that `division` says. Raises CacheError for a cache with missing shards or signals, and as Feed and
    read_labels do.
    """

    def __init__(
        self,
        cache: Cache,
        join: Join,
        train: TrainSpec,
        signals: Sequence[str],
        device: torch.device,
        shuffled: bool,
        sources: Mapping[InputSource, str] | None = None,
        fields: Sequence[str] = (),
        division: Division = WHOLE,
    ) -> None:
        cache.require_complete(signals)
        self._cache, self._join, self._train, self._device = cache, join, train, device
        chosen = (train.labelled.fields or ()) if train.labelled is not None else ()
        found = {name: read_labels(join, name) for name in dict.fromkeys((*fields, *chosen))}
        self._present = {name: field.present for name, field in found.items()}
        self.fields: Mapping[str, LabelShape] = {name: found[name].shape for name in fields}
        self.plan = StepPlan(cache, train, self._present, mixed_rows(cache, join.policy))
        feed = Feed(join, _IMAGES if sources is None else sources, MEMORY // max(1, train.workers))
        self.signals: Mapping[str, SignalSchema] = cache.manifest.signals
        self.cache_fingerprint: Mapping[str, Any] = cache.manifest.fingerprint
        read = {name: found[name] for name in fields}
        hide = train.labelled is not None
        self.kept: Kept = KeptOfCache(cache)
        self._host = HostBatches(cache, feed, read, self.plan, tuple(signals), shuffled, hide, division=division)
        for name in fields:
            self._require_field(name)

    def input_shapes(self, takes: Mapping[str, InputSource]) -> Mapping[str, InputShape]:
        """How the texts and arrays among a student's inputs look, with their masks and lengths."""
        return self._host.feed.shapes(takes)

    @property
    def samples(self) -> int:
        """Samples of the cache."""
        return self.plan.samples

    @property
    def views(self) -> int:
        """Views of a sample."""
        return self._cache.manifest.views

    def sureness(self, measure: SampleWeightSpec) -> np.ndarray:
        """(samples,) how sure the teacher was of each sample's plain view, higher is surer."""
        return sample_scores(self._cache, measure)

    def require_labels(self) -> None:
        """Raise StageError naming a sample without a class number, when the labelled rows would hold it."""
        self._require(self.plan.labels >= 0, "label", "a term that reads labels needs one")

    def _require_field(self, name: str) -> None:
        self._require(self._present[name], f"field {name!r}", "a term has it as its label")

    def _require(self, there: np.ndarray, what: str, why: str) -> None:
        samples = self.plan.labelled_samples()
        missing = samples[~there[samples]]
        if not len(missing):
            return
        name = self._join.ids(missing[:1] * self._cache.manifest.views)[0]
        advice = "set train.labelled.count to train with the labels there are, or drop the term"
        if self._train.labelled is not None:
            advice = "name under train.labelled.fields each field that a labelled sample must have, or drop the term"
        raise StageError(f"sample {str(name)!r} has no {what}, and {why}: {advice}")

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """Batches start..stop, in order, prepared ahead of the device."""
        for host in self._prepared(start, stop):
            yield self._to_device(host)

    def _prepared(self, start: int, stop: int) -> Iterator[HostBatch]:
        workers, host = self._train.workers, replace(self._host, first=start)
        pin = self._device.type == "cuda"
        if workers == 0:
            return _ahead(replace(host, pinned=pin), start, stop)
        loader = DataLoader(
            HandsOver(host),
            None,
            sampler=range(start, stop),
            num_workers=workers,
            collate_fn=_same,
            pin_memory=pin,
            worker_init_fn=outlive_signals,
        )
        with held_back():
            batches = iter(loader)
        return raised(batches)

    def _to_device(self, host: HostBatch) -> Batch:
        return Batch(
            host.step,
            host.rows,
            None if host.views is None else host.views.to(self._device, non_blocking=True),
            host.labels.to(self._device, non_blocking=True),
            host.labelled,
            self._decode(host.signals),
            self._decode(host.shuffled),
            self._join.ids,
            {source: column.to(self._device) for source, column in host.columns.items()},
            {name: values.to(self._device, non_blocking=True) for name, values in host.fields.items()},
            self._samples(host.rows),
            self._samples(self.plan.partners(host.rows)) if host.shuffled else None,
            None if host.whole is None else self._whole(host.whole),
        )

    def _whole(self, whole: WholeBatch) -> WholeBatch:
        fields = {name: values.to(self._device) for name, values in whole.fields.items()}
        return replace(whole, labels=whole.labels.to(self._device), fields=fields)

    def _samples(self, rows: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(rows // self._cache.manifest.views).to(self._device, non_blocking=True)

    def _decode(self, encoded: Parts) -> dict[str, Target]:
        """Copy the encoded parts, then decode on the device. Logits of a kept head are computed here, once for all."""
        found: dict[str, Target] = {}
        for name, parts in encoded.items():
            there = {part: tensor.to(self._device, non_blocking=True) for part, tensor in parts.items()}
            decoded = self._cache.codec(name).decode(there, self.signals[name].shape)
            found[name] = cast(Target, decoded.logits() if isinstance(decoded, HeadLogits) else decoded)
        return found


def _ahead(batches: HostBatches, start: int, stop: int) -> Iterator[HostBatch]:
    """Batches made by one thread, at most `_AHEAD` waiting; its error is raised here."""
    waiting: queue.Queue[HostBatch | BaseException] = queue.Queue(_AHEAD)
    leave = threading.Event()

    device = torch.cuda.current_device() if torch.cuda.is_initialized() else None

    def work() -> None:
        try:
            if device is not None:  # a thread begins on the first GPU, and pinned memory would be of that one's
                torch.cuda.set_device(device)
            for step in range(start, stop):
                if not _put(waiting, batches[step], leave):
                    return
        except BaseException as error:  # handed to the thread that waits for the batch
            _put(waiting, error, leave)

    thread = threading.Thread(target=work, name="stream", daemon=True)
    thread.start()
    try:
        for _ in range(start, stop):
            item = waiting.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        leave.set()
        thread.join()


def _put(waiting: "queue.Queue[Any]", item: Any, leave: threading.Event) -> bool:
    """Put an item unless nobody waits for it any more."""
    while not leave.is_set():
        try:
            waiting.put(item, timeout=0.1)
            return True
        except queue.Full:
            continue
    return False


def _same(batch: Any) -> Any:
    return batch
