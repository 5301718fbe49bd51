"""Writes one shard: every part of every signal at once, into a folder of its own, published by a receipt."""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import xxhash

from ..format.manifest import Manifest
from ..format.receipt import Receipt, publish_receipt, read_receipt
from ..format.row_index import RowIndex, encode_rows, rows_path
from ..format.zarr_metadata import group_json
from ..storage.durable import sync_path, write_errors
from .array_writer import ArrayWriter, FileRecord


class ShardWriter:
    """`append` encoded batches in row order, then `seal` or `discard`. One attempt; another builder has another."""

    def __init__(self, root: Path, manifest: Manifest, shard: str) -> None:
        self._root, self._manifest, self._shard = root, manifest, shard
        self._name = f"shards/{shard}.{uuid4().hex[:12]}"
        self._folder, self._rows_path = root / self._name, root / rows_path(self._name)
        self._rows = 0
        with write_errors(self._folder):
            self._folder.mkdir(parents=True)
        self._arrays: dict[tuple[str, str], ArrayWriter] = {}
        try:
            for name, schema in manifest.signals.items():
                for part in schema.parts():
                    self._arrays[name, part.name] = ArrayWriter(self._folder / name / part.name, part, manifest.block)
        except BaseException:
            self.discard()
            raise

    def append(self, batch: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        """Add encoded rows: {signal: {part: (n, ...)}}, the same n everywhere, every signal present."""
        counts = {len(batch[name][part]) for name, part in self._arrays}
        if len(counts) > 1:
            raise ValueError(f"shard {self._shard}: parts of one batch have {sorted(counts)} rows")
        for (name, part), writer in self._arrays.items():
            writer.append(batch[name][part])
        self._rows += counts.pop()

    def seal(self, rows: RowIndex, **facts: Mapping[str, Any]) -> Receipt:
        """Finish all files and publish the receipt; returns the receipt that stands, which may be another builder's.

        `facts` are the receipt's `source`, `error`, `cost` and `versions`.
        """
        if len(rows) != self._rows:
            raise ValueError(f"shard {self._shard}: {self._rows} rows were written and {len(rows)} are indexed")
        files: dict[str, FileRecord] = {}
        for (name, part), writer in self._arrays.items():
            files |= {f"{self._name}/{name}/{part}/{path}": record for path, record in writer.seal().items()}
        for name, schema in self._manifest.signals.items():
            files |= self._write(f"{self._name}/{name}/zarr.json", group_json({"teachercache": schema.to_json()}))
        about = {"teachercache": {"shard": self._shard, "rows": self._rows}}
        files |= self._write(f"{self._name}/zarr.json", group_json(about))
        files |= self._write(rows_path(self._name), encode_rows(rows))
        self._sync()
        receipt = Receipt(self._shard, self._name, self._rows, self._manifest.digest, files, **facts)
        return self._publish(receipt)

    def discard(self) -> None:
        """Forget this attempt and remove its files."""
        for writer in self._arrays.values():
            writer.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        with suppress(OSError):
            self._rows_path.unlink(missing_ok=True)

    def _publish(self, receipt: Receipt) -> Receipt:
        if publish_receipt(self._root, receipt):
            return receipt
        standing = read_receipt(self._root, self._shard)
        if standing is None or standing.folder == receipt.folder:
            return receipt
        self.discard()
        return standing

    def _write(self, name: str, data: bytes) -> dict[str, FileRecord]:
        with write_errors(self._root / name), (self._root / name).open("xb") as file:
            file.write(data)
        return {name: {"bytes": len(data), "xxh3": xxhash.xxh3_128_hexdigest(data)}}

    def _sync(self) -> None:
        """fsync every small file and every folder of the attempt; the large files were synced when sealed."""
        with write_errors(self._folder):
            for path in self._folder.rglob("*"):
                if path.is_dir() or path.suffix == ".json":
                    sync_path(path)
            for path in (self._rows_path, self._rows_path.parent, self._folder, self._folder.parent):
                sync_path(path)
