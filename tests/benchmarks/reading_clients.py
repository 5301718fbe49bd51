"""Other readers of the same Zarr files, and the same rows as Arrow and safetensors files."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import zarr
from reading_workloads import Reader, Rows, Workload
from safetensors import safe_open
from safetensors.numpy import save_file

Arrays = Mapping[str, list[Any]]  # by "signal/part": one array a shard


def clients(scratch: Path, workload: Workload) -> Iterator[tuple[str, Reader]]:
    """(Name, reader) of each that is installed."""
    yield "zarr-python, the same files", partial(_by_shard, workload, _zarr_arrays(workload), _zarr_rows)
    with installed("zarrs"), zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        import zarrs  # noqa: F401

        yield "zarrs, the same files", partial(_by_shard, workload, _zarr_arrays(workload), _zarr_rows)
    with installed("tensorstore"):
        yield "tensorstore, the same files", _tensorstore(workload)
    yield from _arrow(scratch, workload)
    yield "safetensors, row by row", _safetensors(scratch, workload)


@contextmanager
def installed(name: str) -> Iterator[None]:
    """Leaves out its block, with a word, when a library is not there."""
    try:
        yield
    except ImportError as error:
        print(f"{name} is left out: it cannot be imported ({error})")


def _by_shard(
    workload: Workload, arrays: Arrays, read: Callable[[Any, np.ndarray], np.ndarray], rows: np.ndarray
) -> Rows:
    """Rows gathered shard by shard."""
    shard, local = workload.cache.locate(rows)
    found = {}
    for name, parts in arrays.items():
        values = workload.values[name]
        found[name] = np.empty((len(rows), *values.shape[1:]), values.dtype)
        for number in np.unique(shard).tolist():
            places = np.flatnonzero(shard == number)
            found[name][places] = read(parts[number], local[places])
    return found


def _folders(workload: Workload) -> dict[str, list[Path]]:
    cache = workload.cache
    shards = [cache.root / cache.receipts[shard].folder for shard in cache.shards]
    return {name: [shard / name for shard in shards] for name in workload.values}


def _zarr_arrays(workload: Workload) -> Arrays:
    return {name: [zarr.open_array(f, mode="r") for f in folders] for name, folders in _folders(workload).items()}


def _zarr_rows(array: Any, rows: np.ndarray) -> np.ndarray:
    return np.asarray(array.oindex[rows])


def _tensorstore(workload: Workload) -> Reader:
    import tensorstore

    def opened(folder: Path) -> Any:
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(folder)}}
        return tensorstore.open(spec, context=context).result()

    context = tensorstore.Context({"cache_pool": {"total_bytes_limit": 1 << 30}})
    arrays = {name: [opened(folder) for folder in folders] for name, folders in _folders(workload).items()}

    def read(rows: np.ndarray) -> Rows:
        shard, local = workload.cache.locate(rows)
        places = {number: np.flatnonzero(shard == number) for number in np.unique(shard).tolist()}
        coming = {
            (name, number): parts[number][local[chosen]].read()
            for name, parts in arrays.items()
            for number, chosen in places.items()
        }
        found = {name: np.empty((len(rows), *x.shape[1:]), x.dtype) for name, x in workload.values.items()}
        for (name, number), future in coming.items():
            found[name][places[number]] = future.result()
        return found

    return read


def _arrow(scratch: Path, workload: Workload) -> Iterator[tuple[str, Reader]]:
    """A mapped IPC file with one record batch a shard, its rows fixed-size lists."""
    flat = {name: x.reshape(len(x), -1) for name, x in workload.values.items()}
    columns = {n: pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), x.shape[1]) for n, x in flat.items()}
    written = pa.table(columns)
    with pa.ipc.new_file(str(scratch / "rows.arrow"), written.schema) as writer:
        writer.write_table(written, max_chunksize=int(workload.cache.row_counts.max()))
    table = pa.ipc.open_file(pa.memory_map(str(scratch / "rows.arrow"))).read_all()
    views = {n: [_numpy(pa.chunked_array([c]), x.shape[1]) for c in table[n].chunks] for n, x in flat.items()}
    yield "Arrow IPC, numpy views", partial(_by_shard, workload, views, lambda view, rows: view[rows])
    yield "Arrow IPC, take", lambda rows: {n: _numpy(table[n].take(rows), x.shape[1]) for n, x in flat.items()}


def _numpy(column: pa.ChunkedArray, width: int) -> np.ndarray:
    return column.combine_chunks().flatten().to_numpy(zero_copy_only=True).reshape(-1, width)


def _safetensors(scratch: Path, workload: Workload) -> Reader:
    save_file(dict(workload.values), scratch / "rows.safetensors")
    file = safe_open(str(scratch / "rows.safetensors"), framework="numpy").__enter__()
    slices = {name: file.get_slice(name) for name in workload.values}

    def read(rows: np.ndarray) -> Rows:
        return {name: np.concatenate([part[row : row + 1] for row in rows.tolist()]) for name, part in slices.items()}

    return read
