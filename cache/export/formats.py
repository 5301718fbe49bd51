"""How a shard is written in each format. A format writes one shard to a path that is not there yet."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from ..errors import CacheError
from ..storage.durable import replace_file
from .arrow import arrow_batch
from .columns import Column, Elements, RaggedColumn

Pieces = Iterator[dict[str, Column]]
Write = Callable[[Path, Pieces, Mapping[str, str]], None]


def write_parquet(path: Path, pieces: Pieces, metadata: Mapping[str, str]) -> None:
    """One Parquet file, zstd, a row group for each piece."""
    first, rest = _first(pieces, metadata)
    with pyarrow.parquet.ParquetWriter(path, first.schema, compression="zstd") as writer:
        for batch in rest:
            writer.write_batch(batch)


def write_arrow(path: Path, pieces: Pieces, metadata: Mapping[str, str]) -> None:
    """One Arrow file in the stream format, as Hugging Face datasets keep theirs."""
    first, rest = _first(pieces, metadata)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, first.schema) as writer:
        for batch in rest:
            writer.write_batch(batch)


def write_npy(path: Path, pieces: Pieces, metadata: Mapping[str, str]) -> None:
    """A folder with one .npy file for each column; of rows of different lengths the padded values and the lengths."""
    path.mkdir()
    parts: dict[str, list[np.ndarray]] = {}
    for columns in pieces:
        for name, column in columns.items():
            for file, values in _npy(name, column).items():
                parts.setdefault(file, []).append(values)
    for file, arrays in parts.items():
        _save(path / f"{file}.npy", np.ascontiguousarray(np.concatenate(arrays)))
    (path / "about.json").write_text(metadata["teachercache"] + "\n", encoding="utf-8")


def _save(path: Path, array: np.ndarray) -> None:
    """As `numpy.save`, which does not say why when a disk is full."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.reshape(-1).view(np.uint8).data)


def finish_datasets(folder: Path, files: Sequence[str]) -> None:
    """Write what `datasets.load_from_disk` reads first. Raises CacheError when datasets is not installed."""
    try:
        from datasets import DatasetInfo, Features
    except ImportError:
        raise CacheError("export --to hf needs Hugging Face datasets: pip install 'teachercache[hf]'") from None
    if not files:
        raise CacheError(f"{folder}: no shard is finished, and a dataset needs one")
    with pa.OSFile(str(folder / files[0])) as source:
        features = Features.from_arrow_schema(pa.ipc.open_stream(source).schema)
    DatasetInfo(features=features).write_to_directory(str(folder))
    state: dict[str, Any] = {
        "_data_files": [{"filename": file} for file in files],
        "_fingerprint": "teachercache",
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
    replace_file(folder / "state.json", json.dumps(state, indent=2).encode() + b"\n")


def _first(pieces: Pieces, metadata: Mapping[str, str]) -> tuple[pa.RecordBatch, Iterator[pa.RecordBatch]]:
    """The first batch, for its schema, and all of them."""
    batches = (arrow_batch(columns).replace_schema_metadata(dict(metadata)) for columns in pieces)
    first = next(batches)

    def chained() -> Iterator[pa.RecordBatch]:
        yield first
        yield from batches

    return first, chained()


def _npy(name: str, column: Column) -> dict[str, np.ndarray]:
    if isinstance(column, RaggedColumn):
        return {name: column.values, f"{name}.token_counts": column.lengths}
    if isinstance(column, Elements):
        return {name: column.values, f"{name}.element_counts": column.counts}
    return {name: column}
