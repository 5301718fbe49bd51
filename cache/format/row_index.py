"""The row index of a shard: one Arrow IPC file with a row for each row of the arrays.

Columns: `id` (string), `view` (uint16), `label` (int64, null when unlabelled) and `parameters` (a fixed-size list of
float64 whose names stand in the manifest), from which the view's pixels are drawn again.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import CacheError, DamagedCacheError
from ..storage.regular import open_regular

_LONGEST_ID = 4096  # characters; all ids of a shard are kept as wide as the longest one


def rows_path(folder: str) -> str:
    """Path below the cache's root of the row index of a shard: beside the Zarr tree, which holds only arrays."""
    return f"rows/{folder.rpartition('/')[2]}.arrow"


@dataclass(frozen=True, slots=True)
class RowIndex:
    """Rows: `ids` (n,) str, `views` (n,) uint16, `labels` (n,) int64 with -1 for none, `parameters` (n, P) float64."""

    ids: np.ndarray
    views: np.ndarray
    labels: np.ndarray
    parameters: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


def encode_rows(rows: RowIndex) -> bytes:
    """The bytes of the Arrow IPC file. Raises CacheError for an id that no reader would accept."""
    if rows.ids.dtype.itemsize > 4 * _LONGEST_ID:
        raise CacheError(f"sample ids have at most {_LONGEST_ID} characters, not {rows.ids.dtype.itemsize // 4}")
    width = rows.parameters.shape[1]
    flat = pa.array(np.ascontiguousarray(rows.parameters, dtype="<f8").reshape(-1))
    columns: dict[str, Any] = {
        "id": text_column(rows.ids.astype(np.str_, copy=False)),
        "view": pa.array(rows.views.astype("<u2")),
        "label": pa.array(rows.labels, pa.int64(), mask=rows.labels < 0),
        "parameters": pa.FixedSizeListArray.from_buffers(
            pa.list_(pa.float64(), width), len(rows), [None], 0, 0, [flat]
        ),
    }
    sink = pa.BufferOutputStream()
    table = pa.table(columns)
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def text_column(texts: np.ndarray) -> Any:
    """An Arrow array of numpy strings (n,): ASCII by copying codes, ten times as fast as one text after another."""
    width = texts.dtype.itemsize // 4
    plain = texts.size and width and texts.dtype.isnative and texts.size * width < 1 << 31
    codes = np.ascontiguousarray(texts).view(np.uint32).reshape(len(texts), width) if plain else None
    if codes is None or codes.max() > 127:
        return pa.array(texts.tolist(), pa.string())  # of the texts themselves: Arrow cuts numpy's at a zero inside
    lengths, data = np.strings.str_len(texts), codes.astype(np.uint8)
    ends = np.zeros(len(texts) + 1, np.int32)
    np.cumsum(lengths, out=ends[1:])
    data = data if lengths.min() == width else data[np.arange(width) < lengths[:, None]]
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(ends), pa.py_buffer(data))


def read_rows(path: Path, parameters: int, rows: int) -> RowIndex:
    """Read a row index of `rows` rows, mapped. Raises DamagedCacheError when it is missing, cut short or of another
    shape. Nothing in it is believed before Arrow has proven that it lies within the file."""
    try:
        open_regular(path).close()
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
        table.validate(full=True)
        _check_form(table, parameters, rows)
        table = table.combine_chunks()
        labels = table["label"].fill_null(-1).to_numpy()
        ids = np.asarray(table["id"].to_pylist(), dtype=np.str_)
        views = table["view"].to_numpy()
        flat = table["parameters"].combine_chunks().flatten() if parameters else None
        values = np.zeros((len(ids), 0)) if flat is None else flat.to_numpy().reshape(len(ids), parameters)
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError, MemoryError) as error:
        raise DamagedCacheError(f"{path}: the row index cannot be read ({error})") from error
    return RowIndex(ids, views, labels, values)


def _check_form(table: Any, parameters: int, rows: int) -> None:
    """Raise ValueError for a table that is no row index of so many rows."""
    if len(table) != rows:
        raise ValueError(f"it has {len(table)} rows where the receipt says {rows}")
    types = {name: table.schema.field(name).type for name in ("id", "view", "label", "parameters")}
    floats = types.pop("parameters")
    if types != {"id": pa.string(), "view": pa.uint16(), "label": pa.int64()} or not (
        pa.types.is_fixed_size_list(floats) and (floats.list_size, floats.value_type) == (parameters, pa.float64())
    ):
        raise ValueError(f"its columns are {', '.join(f'{each.name} {each.type}' for each in table.schema)}")
    if any(table[name].null_count for name in ("id", "view", "parameters")):
        raise ValueError("an id, a view or a parameter is missing")
    if rows and pc.max(pc.binary_length(table["id"])).as_py() > 4 * _LONGEST_ID:
        raise ValueError(f"an id has more than {_LONGEST_ID} characters")
