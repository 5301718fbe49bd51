"""A student of 25,000 samples a second fed from the cache, beside the same student on one batch that lies in memory.

Rows are W1 with pixels: 28 x 28 bytes, f16 logits of 1,000 classes and f16 embeddings of width 768. The student is a
small MLP whose width is chosen so that it takes about that many samples here; all contenders do the same steps. CPU
time counts all threads: where a core is free, the stream's thread costs less than it says.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, count, cycle, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from contest import Contender, Watch, contest
from figure import Figure, compared
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from w1 import BATCH, WIDTHS, random_rows, row_index

from teachercache.cache import Cache, Manifest, SignalSchema, create_cache, open_cache
from teachercache.data import ViewPolicy, ViewsSpec
from teachercache.stages.cache_identity import PIXELS
from teachercache.stages.dataset import CacheDataset
from teachercache.stages.student.spec import TrainSpec
from teachercache.stages.student.stream.join import Join
from teachercache.stages.student.stream.stream import Stream

BAR, SPEED = 0.95, 25_000
SIDE = 28
Fed = tuple[Tensor, Tensor, Tensor]  # pixels (B, 28, 28, 1) uint8, logits (B, 1000), embeddings (B, 768)


@dataclass(frozen=True, slots=True)
class Size:
    shards: int
    shard_rows: int
    steps: int
    rounds: int


FULL = Size(shards=10, shard_rows=4096, steps=60, rounds=5)
TINY = Size(shards=1, shard_rows=512, steps=3, rounds=1)


def measure(tiny: bool, scratch: Path) -> list[Figure]:
    """The figures of this benchmark."""
    size, before = TINY if tiny else FULL, torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _fed(size, scratch)
    finally:
        torch.set_num_threads(before)  # other benchmarks may follow


def _fed(size: Size, scratch: Path) -> list[Figure]:
    cache = _filled(scratch / "cache", size)
    kept = list(_streamed(cache, size.steps))
    fixed = kept[0]
    width = _width(fixed, size.steps)
    feeds: dict[str, Callable[[], Iterable[Fed]]] = {
        "one batch in memory": lambda: (fixed for _ in count()),
        "other batches in memory": lambda: cycle(kept),
        "stream": lambda: _streamed(cache, size.steps),
        "dataset": lambda: _dataset(cache, 0),
        "dataset, 1 worker": lambda: _dataset(cache, 1),
    }
    outcome = contest({name: _contender(feed, width, size.steps) for name, feed in feeds.items()}, size.rounds)
    speed = BATCH * outcome.rate("one batch in memory")
    note = f"MLP of width {width}, {speed:,.0f} samples/s on one batch"
    figures = [
        compared(f"a student fed by the {name}", outcome, name, "one batch in memory", "steps", bar, "cpu", note)
        for name, bar in (("stream", BAR), ("dataset", None), ("dataset, 1 worker", None))
    ]
    # One batch stays in the processor's cache, which no new batch can: what of the difference is the feeding?
    what = "a student fed by the stream, each batch new to the processor on both sides"
    return [*figures, compared(what, outcome, "stream", "other batches in memory", "steps", clock="cpu", note=note)]


def _contender(feed: Callable[[], Iterable[Fed]], width: int, steps: int) -> Contender:
    def run(watch: Watch) -> None:
        step = _student(width)
        batches = iter(feed())
        step(next(batches))  # starting workers and opening files is not what is measured
        watch.start()
        for batch in islice(batches, steps - 2):
            step(batch)
        watch.stop()

    return Contender(steps - 2, run)


def _student(width: int) -> Callable[[Fed], None]:
    """One step of training on one batch."""
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(SIDE * SIDE, width), nn.ReLU())
    heads = nn.ModuleList([nn.Linear(width, size) for size in WIDTHS.values()])
    optimizer = torch.optim.SGD([*body.parameters(), *heads.parameters()], lr=0.01)

    def step(batch: Fed) -> None:
        pixels, logits, embeddings = batch
        hidden = body(pixels.reshape(len(pixels), -1).float() / 255)
        loss = functional.cross_entropy(heads[0](hidden), functional.softmax(logits, dim=-1))
        loss = loss + functional.mse_loss(heads[1](hidden), embeddings)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def _width(batch: Fed, steps: int) -> int:
    """The width whose steps take SPEED samples a second of CPU time, as nearly as powers of two can."""
    found = {}
    for width in (64 << power for power in range(6)):
        step = _student(width)
        step(batch)
        started = time.process_time()
        for _ in range(max(1, steps // 10)):
            step(batch)
        found[width] = max(1, steps // 10) * BATCH / max(time.process_time() - started, 1e-9)
    return min(found, key=lambda width: abs(np.log(found[width] / SPEED)))


def _streamed(cache: Cache, steps: int) -> Iterator[Fed]:
    """What students train from: joined, copied and decoded by the stream."""
    train = TrainSpec(steps=steps, batch_size=BATCH)
    source: Any = SimpleNamespace(kinds={"image": "image"})  # the cache keeps the pixels: it is asked for nothing else
    join = Join(cache, source, ViewPolicy(ViewsSpec()))
    for batch in Stream(cache, join, train, list(WIDTHS), torch.device("cpu"), False).batches(0, steps):
        yield batch.views, batch.signals["logits"], batch.signals["embedding"]  # type: ignore[misc]


def _dataset(cache: Cache, workers: int) -> Iterator[Fed]:
    """The dataset for training scripts of one's own, epoch after epoch."""
    dataset = CacheDataset(cache, BATCH, [PIXELS, *WIDTHS], decoded=workers == 0)
    loader = DataLoader(dataset, batch_size=None, num_workers=workers, persistent_workers=workers > 0)

    def epoch(number: int) -> Iterator[Fed]:
        dataset.set_epoch(number)
        for batch in loader:
            signals = batch.signals if workers == 0 else dataset.decode(batch).signals
            yield signals[PIXELS], signals["logits"], signals["embedding"]

    return chain.from_iterable(epoch(number) for number in count())


def _filled(root: Path, size: Size) -> Cache:
    schemas = {name: SignalSchema(name, "f16", {}, (width,)) for name, width in WIDTHS.items()}
    schemas[PIXELS] = SignalSchema(PIXELS, "u8", {}, (SIDE, SIDE, 1))
    shards = tuple(f"w1-{i:03d}" for i in range(size.shards))
    cache = create_cache(root, Manifest({"teacher": {"weights": "random"}}, schemas, shards, views=1, block=256))
    for number, shard in enumerate(shards):
        rows, writer = random_rows(size.shard_rows, number), cache.writer(shard)
        pixels = np.random.default_rng(number).integers(0, 256, (size.shard_rows, SIDE, SIDE, 1), dtype=np.uint8)
        writer.append({name: {"values": x} for name, x in {**rows, PIXELS: pixels}.items()})
        writer.seal(row_index(shard, size.shard_rows))
    return open_cache(root)
