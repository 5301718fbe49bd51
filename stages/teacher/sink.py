"""The writer thread: takes encoded batches in order and writes shards, while the device computes the next ones.

The queue is bounded: a slow disk slows the teacher down, memory does not grow. A writer that dies stops the run with
its own error.
"""

import queue
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import numpy as np

from ...cache import Cache, RowIndex
from ...cache.writing.shard_writer import ShardWriter
from ...data import Source
from ..errors import Interrupted
from .signals.encoding import EncodedBatch
from .skipping import noted

_AHEAD = 4  # encoded batches that may wait for the disk


class ShardSink:
    """A context manager: `put` batches; leaving it waits for the disk, and raises what the writer raised."""

    def __init__(self, cache: Cache, source: Source, versions: Mapping[str, str]) -> None:
        self._cache, self._source, self._versions = cache, source, versions
        self._queue: queue.Queue[tuple[EncodedBatch, Mapping[str, Any]] | None] = queue.Queue(_AHEAD)
        self._error: BaseException | None = None
        self._abandoned = False
        self.lost: list[str] = []  # shards that another builder finished first; whole when the context is left
        self.busy = 0.0  # seconds in which the device computed what was written
        self._thread = threading.Thread(target=self._work, name="shard-writer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def put(self, batch: EncodedBatch, facts: Mapping[str, Any]) -> None:
        """Hand over a batch; `facts` of the shard's last batch go into its receipt. Raises what the writer raised."""
        self._put((batch, facts))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        # whoever is asked to stop still has what was computed: a shard whose last rows wait here is finished
        self._abandoned = kind is not None and not issubclass(kind, Interrupted)
        if self._thread.is_alive():
            self._put(None)
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error

    def _put(self, item: Any) -> None:
        while True:
            if self._error is not None and item is not None:
                raise self._error
            try:
                self._queue.put(item, timeout=0.2)
                return
            except queue.Full:
                if not self._thread.is_alive():
                    return

    def _work(self) -> None:
        shard = _OpenShard(self._cache, self._source, self._versions, self.lost)
        try:
            while (item := self._queue.get()) is not None:
                if self._abandoned:
                    break
                self.busy += shard.take(*item)
        except BaseException as error:  # handed to the thread that waits for it
            self._error = error
        finally:
            shard.drop()


class _OpenShard:
    """The shard that is being written: its writer, and the rows of its index so far."""

    def __init__(self, cache: Cache, source: Source, versions: Mapping[str, str], lost: list[str]) -> None:
        self._cache, self._source, self._versions, self._lost = cache, source, versions, lost
        self._writer: ShardWriter | None = None

    def take(self, batch: EncodedBatch, facts: Mapping[str, Any]) -> float:
        """Write a batch; returns the seconds that the device worked on it."""
        prepared = batch.prepared
        if prepared.start == 0:
            self.drop()
            self._writer = self._cache.writer(prepared.shard)
            self._batches: list[Any] = []
            self._seconds = 0.0
        assert self._writer is not None
        arrays = batch.arrays()
        seconds = batch.seconds()
        self._seconds += seconds
        self._writer.append(arrays)
        self._batches.append((prepared.ids, prepared.labels, prepared.parameters))
        if prepared.last:
            self._seal(prepared.shard, facts)
        return seconds

    def _seal(self, shard: str, facts: Mapping[str, Any]) -> None:
        assert self._writer is not None
        ids, labels, parameters = (np.concatenate(column) for column in zip(*self._batches, strict=True))
        views, first = self._cache.manifest.views, self._cache.manifest.first_view
        numbers = np.tile(np.arange(first, first + views, dtype=np.uint16), len(ids))
        rows = RowIndex(np.repeat(ids, views), numbers, np.repeat(labels, views), parameters)
        cost = {"teacher_seconds": self._seconds, **facts.get("cost", {})}
        source = {"xxh3": self._source.open(shard).checksum(), **noted(self._source, shard)}
        writer, self._writer = self._writer, None
        try:
            error = facts.get("error", {})
            receipt = writer.seal(rows, source=source, error=error, cost=cost, versions=self._versions)
            if receipt.folder != writer.folder:
                self._lost.append(shard)
        except BaseException:
            writer.discard()
            raise

    def drop(self) -> None:
        """Discard an unfinished shard."""
        if self._writer is not None:
            self._writer.discard()
            self._writer = None
