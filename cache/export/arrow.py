"""Columns of a cache as Arrow tables, for Parquet and for datasets."""

import json
from typing import Any

import numpy as np
import pyarrow as pa

from ..cache import Cache
from .columns import Column, Elements, RaggedColumn
from .lists import elements_column, list_column, ragged_column


def arrow_batch(columns: dict[str, Column]) -> pa.RecordBatch:
    """A record batch: `label` is null where there is none, `parameters` is left out when there are none."""
    arrays = {name: _array(name, column) for name, column in columns.items()}
    if columns["parameters"].shape[1] == 0:  # type: ignore[union-attr]
        del arrays["parameters"]
    return pa.record_batch(list(arrays.values()), names=list(arrays))


def arrow_metadata(cache: Cache) -> dict[str, str]:
    """What the columns do not tell: names of the view parameters and classes, and how the signals were made."""
    about: dict[str, Any] = {
        "parameters": list(cache.manifest.parameters),
        "classes": list(cache.manifest.classes),
        "signals": [schema.to_json() for schema in cache.manifest.signals.values()],
        "cache": cache.manifest.digest,
    }
    return {"teachercache": json.dumps(about)}


def _array(name: str, column: Column) -> pa.Array:
    if isinstance(column, RaggedColumn):
        return ragged_column(column.values, column.lengths, column.axes)
    if isinstance(column, Elements):
        return elements_column(column.values, column.counts)
    if name == "label":
        return pa.array(column, pa.int64(), mask=column < 0)
    if name == "id":
        return pa.array(column.astype(np.str_), pa.string())
    return list_column(column) if min(column.shape[1:], default=1) else pa.nulls(len(column))
