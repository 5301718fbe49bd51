"""All receipts of a cache in one Arrow file, so that opening thousands of shards costs milliseconds.

The file is a copy of what the receipts say and is never believed on its own: it names the size and version of every
receipt it was made from, and carries an xxh3 of its content. It refuses to answer when either does not fit; then the
receipts themselves are read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from ..lazy import lazy_property
from .receipt import MOST_ROWS, Finished, Receipt

TABLE_FILE = "receipts.arrow"
_CHECKSUM = b"teachercache.xxh3"
_FORMAT = b"teachercache.format"
_TEXT = ("shard", "folder", "source", "manifest", "version")
_NUMBERS = ("rows", "first", "bytes", "size")
_SCHEMA = pa.schema([*((name, pa.string()) for name in _TEXT), *((name, pa.int64()) for name in _NUMBERS)])

Identity = tuple[int, str]  # size and version of a receipt's file


@dataclass(frozen=True)
class ReceiptTable:
    """Finished shards in the manifest's order: names, folders below the store, rows and first row (n,) int64, bytes of
    all files, xxh3 of the source shards ("" where none was noted), digests of their manifests, and of each receipt's
    own file the size and version."""

    columns: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.rows)

    @lazy_property
    def shards(self) -> tuple[str, ...]:
        return tuple(self.columns["shard"].to_pylist())

    @lazy_property
    def rows(self) -> np.ndarray:
        """Rows of each shard: (n,) int64."""
        return np.asarray(self.columns["rows"].to_numpy())

    @lazy_property
    def bytes(self) -> int:
        """Bytes of all files that the receipts name."""
        return int(self.columns["bytes"].to_numpy().sum())

    @lazy_property
    def sources(self) -> tuple[str, ...]:
        return tuple(self.columns["source"].to_pylist())

    @lazy_property
    def folders(self) -> tuple[str, ...]:
        return tuple(self.columns["folder"].to_pylist())

    @lazy_property
    def places(self) -> Mapping[str, int]:
        """The number of each shard in this table."""
        return {shard: number for number, shard in enumerate(self.shards)}

    @lazy_property
    def identities(self) -> dict[str, Identity]:
        """Size and version of the receipt that each row was made from."""
        sizes, versions = self.columns["size"].to_pylist(), self.columns["version"].to_pylist()
        return dict(zip(self.shards, zip(sizes, versions, strict=True), strict=True))

    def finished(self, shard: str) -> Finished:
        """Where a finished shard is. KeyError for any other."""
        place = self.places[shard]
        return Finished(shard, self.folders[place], int(self.rows[place]))

    def manifests(self) -> tuple[str, ...]:
        """The different digests of manifests that the shards were built under."""
        return tuple(self.columns["manifest"].unique().to_pylist())

    def records(self) -> list[dict[str, Any]]:
        """The rows of the table."""
        lists = {name: column.to_pylist() for name, column in self.columns.items()}
        return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def table_of(records: Sequence[Mapping[str, Any]]) -> ReceiptTable:
    """The table of records, in the manifest's order; their first rows follow from their rows."""
    columns: dict[str, Any] = {name: pa.array([r[name] for r in records], pa.string()) for name in _TEXT}
    columns |= {name: pa.array([r[name] for r in records], pa.int64()) for name in _NUMBERS if name != "first"}
    columns["first"] = pa.array(_firsts(np.array([r["rows"] for r in records], np.int64)), pa.int64())
    return ReceiptTable(columns)


def record_of(receipt: Receipt, identity: Identity) -> dict[str, Any]:
    """A receipt as a row of the table."""
    return {
        "shard": receipt.shard,
        "folder": receipt.folder,
        "source": str(receipt.source.get("xxh3") or ""),
        "manifest": receipt.manifest,
        "version": identity[1],
        "rows": receipt.rows,
        "bytes": receipt.bytes,
        "size": identity[0],
    }


def encode_table(table: ReceiptTable) -> bytes:
    """The bytes of the Arrow IPC file."""
    columns = [table.columns[field.name] for field in _SCHEMA]
    batch = pa.record_batch(columns, schema=_SCHEMA)
    schema = _SCHEMA.with_metadata({_FORMAT: b"1", _CHECKSUM: _content_hash(batch).encode()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(batch.replace_schema_metadata(schema.metadata))
    data: bytes = sink.getvalue().to_pybytes()
    return data


def decode_table(data: bytes) -> ReceiptTable | None:
    """The table in these bytes; None when they are not exactly what `encode_table` wrote."""
    try:
        with pa.ipc.open_file(pa.BufferReader(data)) as reader:
            if reader.num_record_batches != 1 or not reader.schema.equals(_SCHEMA):
                return None
            metadata, batch = reader.schema.metadata or {}, reader.get_batch(0)
        batch.validate(full=True)
        if metadata.get(_FORMAT) != b"1" or metadata.get(_CHECKSUM) != _content_hash(batch).encode():
            return None
    except (pa.ArrowException, OSError, ValueError, TypeError):
        return None
    table = ReceiptTable({field.name: batch.column(field.name) for field in _SCHEMA})
    return table if _is_possible(table) else None


def _is_possible(table: ReceiptTable) -> bool:
    """Whether each row could have been made from a receipt, and the first rows follow from the rows."""
    if any(column.null_count for column in table.columns.values()) or len(table.places) != len(table):
        return False
    firsts = table.columns["first"].to_numpy()
    named = all(
        folder.startswith(f"shards/{shard}.") and "/" not in folder[7:]
        for shard, folder in zip(table.shards, table.folders, strict=True)
    )
    rows = table.rows
    return named and bool(np.all((rows >= 0) & (rows <= MOST_ROWS))) and np.array_equal(firsts, _firsts(table.rows))


def _firsts(rows: np.ndarray) -> np.ndarray:
    firsts: np.ndarray = np.cumsum(rows) - rows
    return firsts


def _content_hash(batch: pa.RecordBatch) -> str:
    """xxh3-128 over the columns in order: of text the int32 offsets and the UTF-8 bytes, of numbers the int64."""
    state, rows = xxhash.xxh3_128(), batch.num_rows
    for column in batch.columns if rows else ():
        buffers = column.buffers()
        if column.type == pa.string():
            offsets = np.frombuffer(buffers[1], "<i4", rows + 1)
            state.update(offsets.tobytes())
            state.update(np.frombuffer(buffers[2] or b"", np.uint8, int(offsets[-1])).tobytes())
        else:
            state.update(np.frombuffer(buffers[1], "<i8", rows).tobytes())
    return state.hexdigest()
