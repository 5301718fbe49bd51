"""Shuffled batches from a warm local cache, beside numpy's memory map and others; cold reads, many shards, memory.

Every reader returns the same rows in the same order, which is checked once before anything is timed. `Cache.encoded` is
what the student's stream calls; decoding is measured apart. Ratios to the memory map are of CPU time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from contest import Contender, Watch, contest
from figure import Figure, compared
from reading_clients import clients, installed
from reading_cold import cold_figures
from reading_memory import memory_figures
from reading_peers import peers, webdataset_stream
from reading_shards import shard_figures
from reading_workloads import Reader, Rows, Workload, check, memory_maps, w1, w2, w3

from teachercache.cache.reading.order import ShuffledOrder

BARS = {"random": 0.95, "window": 0.9}
CLIENT_BARS = {"zarr-python, the same files": 10, "zarrs, the same files": 5, "tensorstore, the same files": 5}
PEER_BARS = {"LitData, row by row": 15, "MDS, row by row": 70}
TEXTS = {"window": "rows of a shuffled window", "random": "rows at random from anywhere"}


@dataclass(frozen=True, slots=True)
class Size:
    shards: int
    shard_rows: int
    rounds: int
    batches: int
    slow: int  # batches of a round for readers that are far slower


FULL = Size(shards=10, shard_rows=4000, rounds=15, batches=40, slow=1)
TINY = Size(shards=2, shard_rows=300, rounds=1, batches=2, slow=1)
FULL_W3 = Size(shards=4, shard_rows=160, rounds=9, batches=12, slow=1)
TINY_W3 = Size(shards=2, shard_rows=20, rounds=1, batches=1, slow=1)


def measure(tiny: bool, scratch: Path) -> list[Figure]:
    """The figures of this benchmark."""
    figures: list[Figure] = []
    sizes = {w1: TINY if tiny else FULL, w2: TINY if tiny else FULL, w3: TINY_W3 if tiny else FULL_W3}
    for make, size in sizes.items():
        with _made(make, scratch, size) as (folder, workload):
            batches = {order: _batches(workload, order, size.batches) for order in BARS}
            figures += _against_memmap(folder, workload, batches, size)
            if make is w1:
                figures += _against_others(folder, workload, batches["window"], size)
                figures += memory_figures(workload)
    return figures + cold_figures(tiny, scratch) + shard_figures(tiny, scratch)


@contextmanager
def _made(make: Callable[[Path, int, int], Workload], scratch: Path, size: Size) -> Iterator[tuple[Path, Workload]]:
    with TemporaryDirectory(dir=scratch) as folder:
        yield Path(folder), make(Path(folder) / "cache", size.shards, size.shard_rows)


def _against_memmap(
    folder: Path, workload: Workload, batches: Mapping[str, Sequence[np.ndarray]], size: Size
) -> list[Figure]:
    memmap, reusing = memory_maps(folder, workload), workload.reusing()
    readers = {"encoded, reused buffers": reusing, "encoded": workload.ours, "numpy memmap": memmap}
    if workload.name == "W1":
        readers |= {
            "decoded": lambda rows: _decoded(workload, reusing(rows)),
            "memmap, astype": lambda rows: {name: x.astype(np.float32) for name, x in memmap(rows).items()},
            "read": lambda rows: workload.cache.read(rows).signals,  # with ids and labels
        }
    figures = []
    for order, bar in BARS.items():
        expected = memmap(batches[order][0])
        for name in ("encoded, reused buffers", "encoded"):
            check(name, readers[name], expected, batches[order][0])
        outcome = contest({name: _contender(batches[order], reader) for name, reader in readers.items()}, size.rounds)
        text = f"{workload.name}, {TEXTS[order]}"
        figures += [
            compared(text, outcome, "encoded, reused buffers", "numpy memmap", "batches", bar, "cpu"),
            compared(f"{text}, new arrays", outcome, "encoded", "numpy memmap", "batches"),
        ]
        if workload.name == "W1":
            figures += [
                compared(f"{text}, decoded to f32", outcome, "decoded", "memmap, astype", "batches"),
                compared(f"{text}, decoded, with ids and labels", outcome, "read", "memmap, astype", "batches"),
            ]
    return figures


def _against_others(folder: Path, workload: Workload, batches: Sequence[np.ndarray], size: Size) -> list[Figure]:
    contenders, expected = {"encoded": _contender(batches, workload.ours)}, workload.ours(batches[0])
    for name, reader in [*clients(folder, workload), *peers(folder, workload)]:
        check(name, reader, expected, batches[0])
        contenders[name] = _contender(batches if "views" in name else batches[: size.slow], reader)
    with installed("webdataset"):
        stream = webdataset_stream(folder, workload)
        contenders["webdataset, in file order"] = _contender(batches[: size.slow], lambda _: next(stream))
    outcome = contest(contenders, min(size.rounds, 5))
    bars = CLIENT_BARS | PEER_BARS | {"webdataset, in file order": 200}
    return [
        compared(f"W1 against {name}", outcome, "encoded", name, "batches", bars.get(name), "cpu")
        for name in contenders
        if name != "encoded"
    ]


def _contender(batches: Sequence[np.ndarray], reader: Reader | Callable[[np.ndarray], object]) -> Contender:
    def run(_: Watch) -> None:
        for rows in batches:
            reader(rows)

    return Contender(len(batches), run)


def _decoded(workload: Workload, encoded: Rows) -> Rows:
    codec = workload.cache.codec
    return {name: codec(name.split("/")[0]).decode({"values": x}, x.shape[1:]) for name, x in encoded.items()}


def _batches(workload: Workload, order: str, count: int) -> list[np.ndarray]:
    """Rows as the stream asks for them (shuffled windows of 64 blocks, ascending inside a batch), or from anywhere."""
    cache, size = workload.cache, workload.batch
    if order == "random":
        return [np.random.default_rng(i).integers(0, cache.rows, size) for i in range(count)]
    shuffled = ShuffledOrder.of(cache.row_counts, cache.manifest.block, 64, 0)
    whole = range(0, min(cache.rows, count * size) - size + 1, size)
    return [np.sort(shuffled.epoch_rows(0, start, start + size)) for start in whole]
