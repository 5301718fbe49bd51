"""The same rows in a few and in thousands of shards: what a row costs must not depend on it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from contest import Contender, Watch, contest
from figure import Figure, compared

from teachercache.cache import SignalSchema
from teachercache.cache.reading.order import ShuffledOrder
from teachercache.cache.reading.signal_rows import SignalRows, Slab
from teachercache.cache.storage.folder import FolderStore
from teachercache.cache.tables.buffer import buffer
from teachercache.cache.writing.array_writer import ArrayWriter

SCHEMA = SignalSchema("embedding", "f16", {}, (512,))
BLOCK, BATCH = 64, 256


def shard_figures(tiny: bool, scratch: Path) -> list[Figure]:
    """Rows of one float16 vector of width 512, warm: of a shuffled window, and at random from anywhere."""
    total, rounds, batches = (1280, 1, 2) if tiny else (320_000, 9, 200)
    counts = (2, 20) if tiny else (10, 1000, 5000)
    few, figures = f"{counts[0]} shards", []
    readers = {shards: _reader(scratch / f"shards-{shards}", shards, total // shards) for shards in counts}
    for order, bar in (("window", 0.9), ("random", None)):
        contenders = {}
        for shards, reader in readers.items():
            starts = np.arange(0, total, total // shards)
            contenders[f"{shards} shards"] = _contender(_batches(order, starts, total, batches), starts, reader)
        outcome = contest(contenders, rounds)
        note = "small files are mapped in small pages, of which the processor remembers few" if bar is None else ""
        for shards in counts[1:]:
            what = f"the same rows in {shards:,} shards, {order}"
            figures.append(compared(what, outcome, f"{shards} shards", few, "batches", bar, "cpu", note))
    return figures


def _reader(root: Path, shards: int, rows: int) -> SignalRows:
    """Shards without receipts and syncs; every file is mapped and touched."""
    (part,) = SCHEMA.parts()
    for number in range(shards):
        writer = ArrayWriter(root / str(number) / SCHEMA.name / part.name, part, BLOCK)
        writer.append(np.full((rows, *part.shape), number, part.dtype))
        writer.seal()
    store = FolderStore(root)
    reader = SignalRows(SCHEMA, BLOCK, [Slab(store, str(number), rows) for number in range(shards)])
    for number in range(shards):
        reader.read(np.full(rows, number), np.arange(rows))
    return reader


def _batches(order: str, starts: np.ndarray, total: int, count: int) -> list[np.ndarray]:
    if order == "random":
        return [np.random.default_rng(i).integers(0, total, BATCH) for i in range(count)]
    shuffled = ShuffledOrder.of(np.diff(starts, append=total), BLOCK, 64, 0)
    return [np.sort(shuffled.epoch_rows(0, i * BATCH, (i + 1) * BATCH)) for i in range(min(count, total // BATCH))]


def _contender(batches: Sequence[np.ndarray], starts: np.ndarray, reader: SignalRows) -> Contender:
    out = {part.name: buffer(BATCH, part.shape, part.dtype) for part in SCHEMA.parts()}

    def run(_: Watch) -> None:
        for rows in batches:
            shard = np.searchsorted(starts, rows, side="right") - 1
            reader.read(shard, rows - starts[shard], out)

    return Contender(len(batches), run)
