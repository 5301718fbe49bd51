"""10,000 rows of 1,000 logits, kept by us and by others: bytes a row, rows a second written and read shuffled, error.

Every system is given the same rows of f32, 256 at a time, and keeps f16 unless its name or note says otherwise. Ours is
also hashed, synced to the disk and published by a receipt; none of the others is. Others are as they come, and none is
compressed. Reading is of shuffled batches of 256 from a warm disk. The error is the mean KL(teacher || what was read)
at temperature 1 over the rows that are right; wrong is a row that lost 0.1 nats, or, where only some classes are kept,
whose likeliest class is another.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from contest import Contender, Outcome, Watch, contest
from figure import Figure, compared
from peers_formats import MEMMAP, plain_formats
from peers_ours import our_systems
from peers_packages import packages
from peers_system import BATCH, Read, System, teacher_rows

_WRONG = 0.1  # nats: no rounding of a whole row loses so much


@dataclass(frozen=True, slots=True)
class Size:
    rows: int
    classes: int
    rounds: int
    batches: int


FULL = Size(rows=10_000, classes=1000, rounds=5, batches=39)
TINY = Size(rows=512, classes=1000, rounds=1, batches=2)


@dataclass(frozen=True, slots=True)
class Kept:
    """What a system made of the rows. `kl` is None where its rows are right on the average only."""

    bytes: float
    kl: float | None
    wrong: int

    def __str__(self) -> str:
        error = "unbiased" if self.kl is None else f"KL {self.kl:.1g}"
        return f"{self.bytes:,.0f} B/row, {error}" + (f", {self.wrong} rows wrong" if self.wrong else "")


def measure(tiny: bool, scratch: Path) -> list[Figure]:
    """The figures of this benchmark."""
    size = TINY if tiny else FULL
    values = teacher_rows(size.rows, size.classes)
    systems = [*our_systems(size.classes), *plain_formats(), *packages()]
    written = _write(systems, scratch, values, size)
    readers = {system.name: system.open(scratch / _folder(system)) for system in systems}
    kept = {system.name: _kept(system, scratch, readers[system.name], values) for system in systems}
    read = contest({x.name: _reading(x, readers[x.name], size) for x in systems}, size.rounds)
    figures = []
    for system in systems:
        figures += _figures(system, kept, written, read)
    return figures


def _folder(system: System) -> str:
    return system.name.replace(" ", "-").replace(",", "").replace("'", "")


def _write(systems: Sequence[System], scratch: Path, values: np.ndarray, size: Size) -> Outcome:
    """Each writes all rows in every round, into a new folder; the last one stays."""

    def contender(system: System) -> Contender:
        def run(watch: Watch) -> None:
            folder = scratch / _folder(system)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            watch.start()
            system.write(folder, values)
            watch.stop()

        return Contender(len(values), run)

    return contest({x.name: contender(x) for x in systems}, rounds=min(2, size.rounds), warm_up=False)


def _reading(system: System, read: Read, size: Size) -> Contender:
    rows = np.random.default_rng(1).permutation(size.rows)
    count = min(size.batches, 2) if system.slow else size.batches

    def run(watch: Watch) -> None:
        for start in range(0, count * BATCH, BATCH):
            read(rows[start : start + BATCH])

    return Contender(count * BATCH, run)


def _kept(system: System, scratch: Path, read: Read, values: np.ndarray) -> Kept:
    files = [path for path in (scratch / _folder(system)).rglob("*") if path.is_file()]
    sums, wrong, seen = 0.0, 0, 0
    for start in range(0, len(values) - BATCH + 1, BATCH):
        rows, found = np.arange(start, start + BATCH), None
        found = read(rows)
        if system.stream:
            rows, found = found
        truth = values[rows]
        seen += len(rows)
        if system.logits is None:
            wrong += int((found.ids[:, 0] != truth.argmax(axis=1)).sum())
            continue
        lost = _divergence(truth, np.asarray(system.logits(found)))
        right = lost < _WRONG if system.whole else found.ids[:, 0] == truth.argmax(axis=1)
        wrong, sums = wrong + int((~right).sum()), sums + float(lost[right].sum())
    kl = None if system.logits is None else max(sums / seen, 0.0)
    return Kept(sum(path.stat().st_size for path in files) / len(values), kl, wrong)


def _divergence(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """KL(truth || found) of rows of logits, in nats; infinite for a row that was not found."""
    log_p, log_q = _log_softmax(truth), _log_softmax(found)
    return np.nan_to_num((np.exp(log_p) * (log_p - log_q)).sum(axis=1), nan=np.inf)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def _figures(system: System, kept: Mapping[str, Kept], written: Outcome, read: Outcome) -> list[Figure]:
    """Ours beside the memory map; every other system beside the best of ours."""
    if system.name.startswith("ours"):
        ratio = kept[MEMMAP].bytes / kept[system.name].bytes
        size = Figure(f"{system.name}: size", str(kept[system.name]), f"{MEMMAP}: {kept[MEMMAP]}", ratio)
        pair, bar = (system.name, MEMMAP), None
    else:
        ours = _smallest(kept, kept[system.name].kl or 0.0)
        ratio = kept[system.name].bytes / kept[ours].bytes
        judged = (ratio > 1.0, "> 1") if system.package else (None, "")
        what, theirs = f"{system.name}: size, {ours}", f"{system.name}: {kept[system.name]}"
        size = Figure(what, str(kept[ours]), theirs, ratio, bar=judged[1], reached=judged[0], note=system.note)
        pair, bar = ("ours, f16", system.name), 1.0 if system.package and system.reads else None
    return [
        size,
        compared(f"{system.name}: read shuffled", read, *pair, "rows", bar),
        compared(f"{system.name}: written", written, *pair, "rows"),
    ]


def _smallest(kept: Mapping[str, Kept], error: float) -> str:
    """Ours that takes the fewest bytes at no larger an error; f16 loses what everybody's f16 loses."""
    fitting = [x for x in kept if x.startswith("ours") and kept[x].kl is not None]
    exact = [x for x in fitting if x.startswith("ours, f16")]
    return min(exact + [x for x in fitting if (kept[x].kl or 0.0) <= error], key=lambda name: kept[name].bytes)
