"""Shuffled batches of 256 rows of W1 from a warm local cache, beside numpy's memory map and other readers.

Every reader returns the same rows in the same order as arrays of its own, which is checked once before anything is
timed. `Cache.encoded` is what the student's stream calls; decoding is measured apart.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import zarr
from contest import Contender, Watch, contest
from figure import Figure, compared
from safetensors import safe_open
from safetensors.numpy import save_file
from w1 import BATCH, WIDTHS, filled_cache

from teachercache.cache import Cache
from teachercache.cache.reading.order import ShuffledOrder

Rows = dict[str, np.ndarray]
Reader = Callable[[np.ndarray], Rows]  # row numbers (n,) -> {signal: (n, width)}


@dataclass(frozen=True, slots=True)
class Size:
    shards: int
    shard_rows: int
    rounds: int
    slow: int  # batches of a round for readers that are far slower


FULL = Size(shards=10, shard_rows=4000, rounds=15, slow=2)
TINY = Size(shards=3, shard_rows=300, rounds=1, slow=1)


def measure(tiny: bool, scratch: Path) -> list[Figure]:
    """The figures of this benchmark."""
    size = TINY if tiny else FULL
    cache, values = filled_cache(scratch / "cache", size.shards, size.shard_rows)
    maps = _memory_maps(scratch, values)
    ours: Reader = partial(_ours, cache)
    memmap: Reader = partial(_memmap, maps)
    others = _other_readers(cache, values, scratch)
    orders = {"window": _window_batches(cache), "random": _random_batches(cache.rows)}
    for name, reader in {"ours": ours, "numpy memmap": memmap, **others}.items():
        _check(name, reader, values, orders["random"][0])
    del values
    figures = []
    for order, batches in orders.items():
        figures += _against_memmap(order, batches, cache, ours, memmap, size.rounds)
    return figures + _against_others(orders["window"], ours, others, size)


def _against_memmap(
    order: str, batches: Sequence[np.ndarray], cache: Cache, ours: Reader, memmap: Reader, rounds: int
) -> list[Figure]:
    whole, part = partial(_contender, batches), partial(_contender, batches[: max(1, len(batches) // 4)])
    outcome = contest(
        {
            "encoded": whole(ours),
            "numpy memmap": whole(memmap),
            "decoded": part(lambda rows: _decoded(cache, ours(rows))),
            "memmap, astype": part(lambda rows: {name: x.astype(np.float32) for name, x in memmap(rows).items()}),
            "read": part(lambda rows: cache.read(rows).signals),
        },
        rounds,
    )
    text = {"window": "rows of a shuffled window", "random": "rows at random from anywhere"}[order]
    return [
        compared(text, outcome, "encoded", "numpy memmap", "batches", 0.5),
        compared(f"{text}, decoded to f32", outcome, "decoded", "memmap, astype", "batches", 0.5),
        compared(f"{text}, decoded, with ids and labels", outcome, "read", "memmap, astype", "batches"),
    ]


def _against_others(
    batches: Sequence[np.ndarray], ours: Reader, others: Mapping[str, Reader], size: Size
) -> list[Figure]:
    contenders = {"encoded": _contender(batches, ours)}
    for name, reader in others.items():
        contenders[name] = _contender(batches if "views" in name else batches[: size.slow], reader)
    outcome = contest(contenders, min(size.rounds, 5))
    return [compared(f"the same against {name}", outcome, "encoded", name, "batches") for name in others]


def _contender(batches: Sequence[np.ndarray], reader: Reader) -> Contender:
    def run(_: Watch) -> None:
        for rows in batches:
            reader(rows)

    return Contender(len(batches), run)


def _ours(cache: Cache, rows: np.ndarray) -> Rows:
    return {name: cache.encoded(name, rows)["values"] for name in WIDTHS}


def _decoded(cache: Cache, encoded: Rows) -> Rows:
    return {name: cache.codec(name).decode({"values": x}, x.shape[1:]) for name, x in encoded.items()}


def _memmap(maps: Rows, rows: np.ndarray) -> Rows:
    return {name: array[rows] for name, array in maps.items()}


def _memory_maps(scratch: Path, values: Rows) -> Rows:
    for name, array in values.items():
        np.save(scratch / f"{name}.npy", array)
    return {name: np.load(scratch / f"{name}.npy", mmap_mode="r") for name in values}


def _window_batches(cache: Cache) -> list[np.ndarray]:
    """One epoch as the stream asks for it: shuffled windows of 64 blocks, ascending inside a batch."""
    order = ShuffledOrder.of(cache.row_counts, cache.manifest.block, 64, 0)
    stops = range(BATCH, cache.rows + 1, BATCH)
    return [np.sort(order.epoch_rows(0, stop - BATCH, stop)) for stop in stops]


def _random_batches(rows: int) -> list[np.ndarray]:
    """One epoch in an order that knows nothing of shards or blocks."""
    order = np.random.default_rng(0).permutation(rows)
    return [order[stop - BATCH : stop] for stop in range(BATCH, rows + 1, BATCH)]


def _other_readers(cache: Cache, values: Rows, scratch: Path) -> dict[str, Reader]:
    table = _arrow(scratch / "rows.arrow", values, cache.row_counts)
    whole = table.combine_chunks()
    save_file(values, scratch / "rows.safetensors")
    handle = safe_open(scratch / "rows.safetensors", framework="np")
    slices = {name: handle.get_slice(name) for name in WIDTHS}
    return {
        "Arrow IPC, numpy views": partial(_arrow_views, _chunk_views(table), cache),
        "pyarrow take": lambda rows: {name: _flat(whole[name].take(pa.array(rows)), w) for name, w in WIDTHS.items()},
        "zarr-python, the same files": partial(_zarr, _zarr_arrays(cache), cache),
        "safetensors, row by row": lambda rows: {n: np.stack([s[int(r)] for r in rows]) for n, s in slices.items()},
    }


def _arrow(path: Path, values: Rows, counts: np.ndarray) -> pa.Table:
    """A mapped IPC file with one record batch a shard, its rows fixed-size lists."""
    columns = {n: pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), x.shape[1]) for n, x in values.items()}
    table = pa.table(columns)
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=int(counts.max()))
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def _flat(column: pa.ChunkedArray, width: int) -> np.ndarray:
    return column.combine_chunks().flatten().to_numpy(zero_copy_only=True).reshape(-1, width)


def _chunk_views(table: pa.Table) -> dict[str, list[np.ndarray]]:
    return {name: [_flat(pa.chunked_array([chunk]), WIDTHS[name]) for chunk in table[name].chunks] for name in WIDTHS}


def _arrow_views(views: Mapping[str, list[np.ndarray]], cache: Cache, rows: np.ndarray) -> Rows:
    shard, local = cache.locate(rows)
    return {name: _by_shard(rows, shard, local, chunks.__getitem__, WIDTHS[name]) for name, chunks in views.items()}


def _zarr_arrays(cache: Cache) -> dict[str, list[zarr.Array]]:
    folders = [cache.root / receipt.folder for receipt in cache.receipts.values()]
    return {name: [zarr.open_array(folder / name / "values", mode="r") for folder in folders] for name in WIDTHS}


def _zarr(arrays: Mapping[str, list[zarr.Array]], cache: Cache, rows: np.ndarray) -> Rows:
    shard, local = cache.locate(rows)
    return {n: _by_shard(rows, shard, local, lambda s, a=a: a[s].oindex, WIDTHS[n]) for n, a in arrays.items()}


def _by_shard(
    rows: np.ndarray, shard: np.ndarray, local: np.ndarray, table: Callable[[int], np.ndarray], width: int
) -> np.ndarray:
    """Rows gathered shard by shard from tables that can be indexed with row numbers."""
    out = np.empty((len(rows), width), np.float16)
    for number in np.unique(shard):
        places = np.flatnonzero(shard == number)
        out[places] = table(int(number))[local[places]]
    return out


def _check(name: str, reader: Reader, values: Rows, rows: np.ndarray) -> None:
    for signal, found in reader(rows).items():
        if not np.array_equal(found, values[signal][rows]):
            raise RuntimeError(f"{name} returns other {signal} than were written")
