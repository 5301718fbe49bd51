"""Writes one shard: every part of every signal at once, into a folder of its own, published by a receipt."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import numpy as np

from ..codecs import LENGTHS, Part
from ..errors import CacheWriteError
from ..format.manifest import Manifest
from ..format.receipt import Receipt, publish_receipt, read_receipt
from ..format.row_index import RowIndex, encode_rows, rows_path
from ..format.schema import SignalSchema
from ..format.zarr_metadata import group_json
from ..storage.durable import write_errors
from ..storage.store import Store
from .array_writer import ArrayWriter
from .hashed_file import FileRecord, record_of


class ShardWriter:
    """`append` encoded batches in row order, then `seal` or `discard`. One attempt; another builder has another."""

    def __init__(self, store: Store, manifest: Manifest, shard: str) -> None:
        self._store, self._manifest, self._shard = store, manifest, shard
        self._name = f"shards/{shard}.{uuid4().hex[:12]}"
        self._folder = store.stage(self._name)
        self._rows = 0
        self._parts = {name: schema.parts() for name, schema in manifest.signals.items()}
        self._arrays: dict[str, dict[str, ArrayWriter]] = {}
        try:
            for name, schema in manifest.signals.items():
                self._arrays[name] = {
                    part.name: ArrayWriter(self._folder / name / part.name, part, manifest.block, schema.compression)
                    for part in self._parts[name]
                }
        except BaseException:
            self.discard()
            raise

    @property
    def folder(self) -> str:
        """The attempt's folder below the store; a receipt that names another one is another builder's."""
        return self._name

    def append(self, batch: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        """Add encoded rows: {signal: {part: (n, ...)}}, the same n everywhere, every signal present.

        Ragged parts have as many elements as the rows' lengths ask for.
        """
        signals = self._manifest.signals
        counts = {self._count(signals[name], parts, batch[name]) for name, parts in self._parts.items()}
        if len(counts) > 1:
            raise ValueError(f"shard {self._shard}: signals of one batch have {sorted(counts)} rows")
        for name, writers in self._arrays.items():
            for part, writer in writers.items():
                writer.append(batch[name][part])
        self._rows += counts.pop()

    def seal(self, rows: RowIndex, **facts: Mapping[str, Any]) -> Receipt:
        """Finish all files and publish the receipt; returns the receipt that stands, which may be another builder's.

        `facts` are the receipt's `source`, `error`, `cost` and `versions`.
        """
        if len(rows) != self._rows:
            raise ValueError(f"shard {self._shard}: {self._rows} rows were written and {len(rows)} are indexed")
        files: dict[str, FileRecord] = {}
        for name, writers in self._arrays.items():
            for part, writer in writers.items():
                files |= {f"{self._name}/{name}/{part}/{path}": record for path, record in writer.seal().items()}
        for name, schema in self._manifest.signals.items():
            files |= self._write(f"{name}/zarr.json", group_json({"teachercache": schema.to_json()}))
        files |= self._write("zarr.json", group_json({"teachercache": {"shard": self._shard, "rows": self._rows}}))
        self._require(files)
        self._store.commit(self._name)
        index = encode_rows(rows)
        self._store.publish(rows_path(self._name), index)
        files[rows_path(self._name)] = record_of(index)
        return self._publish(Receipt(self._shard, self._name, self._rows, self._manifest.digest, files, **facts))

    def discard(self) -> None:
        """Forget this attempt and remove its files."""
        for writers in self._arrays.values():
            for writer in writers.values():
                writer.close()
        self._store.remove([self._name, rows_path(self._name)])

    def _count(self, schema: SignalSchema, wanted: Sequence[Part], parts: Mapping[str, np.ndarray]) -> int:
        """Rows of one signal's parts. Raises ValueError when they do not agree."""
        rows = {len(parts[part.name]) for part in wanted if not part.ragged}
        if len(rows) != 1:
            raise ValueError(f"shard {self._shard}: parts of signal {schema.name} have {sorted(rows)} rows")
        if schema.packing is not None:
            elements = int(schema.packing.counts(parts[LENGTHS].astype(np.int64)).sum())
            found = {len(parts[part.name]) for part in wanted if part.ragged}
            if found != {elements}:
                raise ValueError(f"shard {self._shard}: signal {schema.name} has {found} elements, not {elements}")
        return rows.pop()

    def _require(self, files: Mapping[str, FileRecord]) -> None:
        """Raise CacheWriteError unless every file of this attempt still lies there: a receipt must not outlive it."""
        for name, record in files.items():
            path = self._folder / name.removeprefix(f"{self._name}/")
            with write_errors(path):
                size = path.stat().st_size
            if size != record["bytes"]:
                raise CacheWriteError(f"{path} has {size} bytes where {record['bytes']} were written; build again")

    def _publish(self, receipt: Receipt) -> Receipt:
        if publish_receipt(self._store, receipt):
            return receipt
        standing = read_receipt(self._store, self._shard)
        if standing is None or standing.folder == receipt.folder:
            return receipt
        self.discard()
        return standing

    def _write(self, name: str, data: bytes) -> dict[str, FileRecord]:
        path = self._folder / name
        with write_errors(path), path.open("xb") as file:
            file.write(data)
        return {f"{self._name}/{name}": record_of(data)}
