"""Arrays of one signal, written shard by shard with the real writer, beside what zarr-python reads from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr

from teachercache.cache.codecs import LENGTHS, Packing, Part
from teachercache.cache.reading.signal_rows import SignalRows, Slab
from teachercache.cache.storage.folder import FolderStore
from teachercache.cache.writing.array_writer import ArrayWriter

DTYPES = ("float32", "float16", "int8", "uint8", "uint16", "uint32")


@dataclass(frozen=True)
class ArraySchema:
    """As much of a signal's schema as reading needs, for parts that no codec makes."""

    all_parts: tuple[Part, ...]
    shape: tuple[int, ...] = (1,)
    packing: Packing | None = None
    compression: str = "none"
    name: str = "signal"

    def parts(self) -> tuple[Part, ...]:
        return self.all_parts


def random_part(rng: np.random.Generator, part: Part, rows: int) -> np.ndarray:
    return rng.integers(0, 100, (rows, *part.shape)).astype(part.dtype)


def write_slabs(
    root: Path, schema: ArraySchema, block: int, counts: Sequence[int], seed: int
) -> tuple[SignalRows, list[dict[str, np.ndarray]]]:
    """Slabs with `counts` rows: their reader, and what was written, by slab and part."""
    rng, written = np.random.default_rng(seed), []
    for number, rows in enumerate(counts):
        values = {part.name: random_part(rng, part, rows) for part in schema.parts() if not part.ragged}
        if schema.packing is not None:
            values[LENGTHS] = rng.integers(1, schema.shape[0] + 1, rows).astype(np.uint32)
            elements = int(schema.packing.counts(values[LENGTHS].astype(np.int64)).sum())
            values |= {part.name: random_part(rng, part, elements) for part in schema.parts() if part.ragged}
        for part in schema.parts():
            writer = ArrayWriter(root / str(number) / schema.name / part.name, part, block, schema.compression)
            for start in range(0, len(values[part.name]), 9):
                writer.append(values[part.name][start : start + 9])
            writer.seal()
        written.append(values)
    return SignalRows(schema, block, slabs_of(root, counts)), written  # type: ignore[arg-type]


def slabs_of(root: Path, counts: Sequence[int]) -> list[Slab]:
    return [Slab(FolderStore(root), str(number), rows) for number, rows in enumerate(counts)]


def by_zarr(root: Path, schema: ArraySchema, slab: np.ndarray, row: np.ndarray) -> dict[str, np.ndarray]:
    """The same rows through zarr-python."""
    read = [
        {part.name: zarr.open_array(f"{root}/{n}/{schema.name}/{part.name}", mode="r")[:] for part in schema.parts()}
        for n in range(int(slab.max()) + 1)
    ]
    return rows_of(schema, read, slab, row)


def rows_of(
    schema: ArraySchema, arrays: Sequence[dict[str, np.ndarray]], slab: np.ndarray, row: np.ndarray
) -> dict[str, np.ndarray]:
    """Rows of whole arrays (by slab and part), one after another."""
    found: dict[str, list[np.ndarray]] = {part.name: [] for part in schema.parts()}
    for number, local in zip(slab.tolist(), row.tolist(), strict=True):
        here = arrays[number]
        start = stop = 0
        if schema.packing is not None:
            ends = np.cumsum(schema.packing.counts(here[LENGTHS].astype(np.int64)))
            start, stop = int(ends[local - 1]) if local else 0, int(ends[local])
        for part in schema.parts():
            found[part.name].append(here[part.name][start:stop] if part.ragged else here[part.name][local : local + 1])
    return {name: np.concatenate(rows) for name, rows in found.items()}


def random_rows(rng: np.random.Generator, counts: Sequence[int], n: int) -> tuple[np.ndarray, np.ndarray]:
    """`n` rows of slabs that have any, in no order, some of them twice."""
    slab = rng.choice(np.flatnonzero(counts), n)
    return slab, rng.integers(0, np.asarray(counts)[slab])
