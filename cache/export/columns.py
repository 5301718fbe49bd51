"""Rows of a cache as named columns: ids, views, labels, view parameters, and the signals decoded or as they are kept.

Every format is written from these, so that all say the same. Rows of different lengths are Ragged until they are
written; forms that keep only some classes become one column for each of their fields.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..cache import Cache
from ..codecs import LENGTHS, HeadLogits, Ragged, SampledTargets, SparseLogits, TokenLogits
from ..format.schema import SignalSchema
from ..keeping.ranges import piece_rows
from ..rewriting.origin import encoded_rows, shard_rows

_PIECE_BYTES = 1 << 26  # of a signal, decoded at once: a row group of Parquet


@dataclass(frozen=True, slots=True)
class Elements:
    """Encoded elements of rows: `values` (sum of counts, ...), `counts` (n,) elements of each row."""

    values: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True, slots=True)
class RaggedColumn:
    """Padded `values` (n, ...) of which `axes` (counted without the rows) are really `lengths` (n,) long."""

    values: np.ndarray
    lengths: np.ndarray
    axes: tuple[int, ...]


Column = np.ndarray | Elements | RaggedColumn


def shard_columns(cache: Cache, shard: str, signals: Sequence[str], decoded: bool) -> Iterator[dict[str, Column]]:
    """The columns of a finished shard, some rows at a time; one empty piece when it has no row."""
    rows, index = shard_rows(cache, shard), cache.reader(shard).index
    step = min([1 << 13, *(piece_rows(cache.manifest.signals[name], _PIECE_BYTES) for name in signals)])
    for start in range(0, max(1, rows), step):
        piece = np.arange(start, min(start + step, rows))
        columns: dict[str, Column] = {
            "id": index.ids[piece],
            "view": index.views[piece],
            "label": index.labels[piece],
            "parameters": index.parameters[piece],
        }
        for name in signals:
            columns |= _signal(cache, name, encoded_rows(cache, name, shard, piece), decoded)
        yield columns


def _signal(cache: Cache, name: str, parts: dict[str, np.ndarray], decoded: bool) -> dict[str, Column]:
    schema = cache.manifest.signals[name]
    if not decoded:
        return _encoded(schema, parts)
    return _decoded(schema, cache.codec(name).decode(parts, schema.shape))


def _encoded(schema: SignalSchema, parts: dict[str, np.ndarray]) -> dict[str, Column]:
    """One column for each part."""
    columns: dict[str, Column] = {}
    for part in schema.parts():
        values = parts[part.name]
        if part.ragged and schema.packing is not None:
            columns[f"{schema.name}.{part.name}"] = Elements(
                values, schema.packing.counts(parts[LENGTHS].astype(np.int64))
            )
        else:
            columns[f"{schema.name}.{part.name}"] = values
    return columns


def _decoded(schema: SignalSchema, values: Any) -> dict[str, Column]:
    name = schema.name
    if isinstance(values, SparseLogits):
        tails = {f"{name}.tails.T{t:g}": tail for t, tail in values.tails.items()}
        entropy = {} if values.entropy is None else {f"{name}.entropy": values.entropy}
        return {f"{name}.ids": values.ids, f"{name}.values": values.values, **tails, **entropy}
    if isinstance(values, SampledTargets):
        weights = {f"{name}.weights.T{t:g}": weight for t, weight in values.weights.items()}
        return {f"{name}.ids": values.ids, **weights, f"{name}.entropy": values.entropy}
    if isinstance(values, TokenLogits):
        counts = np.asarray(values.lengths, np.int64)
        return {key: Elements(np.asarray(x), counts) for key, x in _decoded(schema, values.targets).items()}
    if isinstance(values, HeadLogits):
        return _decoded(schema, values.logits())
    if isinstance(values, Ragged) and schema.packing is not None:
        axis = schema.packing.axes[0]
        axes = (axis, axis + 1) if schema.codec == "factored" else schema.packing.axes
        return {name: RaggedColumn(values.values, np.asarray(values.lengths, np.int64), axes)}
    return {name: values}
