"""What is read: W1 and W2 are rows of about 2 to 4 kB, W3 is a teacher's inside, 600 kB and more a row.

Values are the bytes that lie on disk (codes), so that readers are compared and no codec is.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from w1 import row_index

from teachercache.cache import Cache, Manifest, SignalSchema, create_cache, open_cache
from teachercache.cache.codecs import LENGTHS, Packing
from teachercache.cache.tables.buffer import buffer
from teachercache.cache.tables.runs import ranges

Encoded = dict[str, dict[str, np.ndarray]]  # by signal and part
Rows = dict[str, np.ndarray]  # by "signal/part"
Reader = Callable[[np.ndarray], Rows]

_MAPS = SignalSchema("attention", "u8sqrt", {}, (12, 12, 50, 50))
_TEXT = SignalSchema("text", "u8sqrt", {}, (12, 8, 77, 77), packing=Packing((2, 3), causal=True))
_HIDDEN = SignalSchema("hidden", "f16", {}, (3, 50, 768))


@dataclass(frozen=True, slots=True)
class Workload:
    """A finished cache, the values that were written, and the rows of a batch."""

    name: str
    cache: Cache
    values: Rows
    batch: int

    def ours(self, rows: np.ndarray) -> Rows:
        """A batch into new arrays."""
        return _flat({name: self.cache.encoded(name, rows) for name in self.cache.signals})

    def reusing(self) -> Reader:
        """A batch into the same buffers again and again; ragged parts are new."""
        out: Encoded = {}
        for name, schema in self.cache.manifest.signals.items():
            dense = [part for part in schema.parts() if not part.ragged]
            out[name] = {part.name: buffer(self.batch, part.shape, part.dtype) for part in dense}
        cache = self.cache
        return lambda rows: _flat({name: cache.encoded(name, rows, buffers) for name, buffers in out.items()})


def w1(root: Path, shards: int, rows: int) -> Workload:
    """float16 logits of 1,000 classes and float16 embeddings of width 768."""
    return _vectors("W1", root, {"logits": 1000, "embedding": 768}, shards, rows)


def w2(root: Path, shards: int, rows: int) -> Workload:
    """Two float16 embeddings of width 512."""
    return _vectors("W2", root, {"image": 512, "caption": 512}, shards, rows)


def w3(root: Path, shards: int, rows: int) -> Workload:
    """Attention of ViT-B/32 (12 layers) and of CLIP's text tower (10 to 20 tokens, causal), three hidden states."""

    def make(rng: np.random.Generator) -> Encoded:
        lengths = rng.integers(10, 21, rows).astype(np.uint32)
        pairs = int(Packing((2, 3), causal=True).counts(lengths.astype(np.int64)).sum())
        return {
            "attention": {"values": rng.integers(0, 256, (rows, *_MAPS.shape), np.uint8)},
            "text": {LENGTHS: lengths, "values": rng.integers(0, 256, (pairs, 12, 8), np.uint8)},
            "hidden": {"values": rng.integers(0, 30000, (rows, *_HIDDEN.shape), np.uint16).view(np.float16)},
        }

    return filled("W3", root, (_MAPS, _TEXT, _HIDDEN), shards, rows, make, 32)


def _vectors(name: str, root: Path, widths: Mapping[str, int], shards: int, rows: int) -> Workload:
    def make(rng: np.random.Generator) -> Encoded:
        draw = {signal: rng.standard_normal((rows, width), np.float32) for signal, width in widths.items()}
        return {signal: {"values": x.astype(np.float16)} for signal, x in draw.items()}

    schemas = tuple(SignalSchema(signal, "f16", {}, (width,)) for signal, width in widths.items())
    return filled(name, root, schemas, shards, rows, make, 256)


def filled(
    name: str,
    root: Path,
    schemas: tuple[SignalSchema, ...],
    shards: int,
    rows: int,
    make: Callable[[np.random.Generator], Encoded],
    batch: int,
) -> Workload:
    """A finished cache made by the real writer; `make` draws the encoded rows of a shard."""
    manifest = Manifest(
        {"signals": {}}, {schema.name: schema for schema in schemas}, tuple(f"s{i:05d}" for i in range(shards)), 1, 256
    )
    cache, made = create_cache(root, manifest), []
    for number, shard in enumerate(manifest.shards):
        values = make(np.random.default_rng(number))
        writer = cache.writer(shard)
        for piece in _pieces(values, rows):
            writer.append(piece)
        writer.seal(row_index(shard, rows))
        made.append(_flat(values))
    return Workload(name, open_cache(root), {key: np.concatenate([x[key] for x in made]) for key in made[0]}, batch)


def memory_maps(scratch: Path, workload: Workload) -> Reader:
    """What ours is held against: one .npy file for each part over all rows, mapped, and numpy's own indexing."""
    maps = {}
    for number, (name, array) in enumerate(workload.values.items()):
        np.save(scratch / f"{workload.name}-{number}.npy", array)
        maps[name] = np.load(scratch / f"{workload.name}-{number}.npy", mmap_mode="r")
    if "text/values" not in maps:
        return lambda rows: {name: array[rows] for name, array in maps.items()}
    counts = _TEXT.packing.counts(np.asarray(maps["text/lengths"]).astype(np.int64))  # type: ignore[union-attr]
    starts = np.cumsum(counts) - counts

    def read(rows: np.ndarray) -> Rows:
        dense = {name: array[rows] for name, array in maps.items() if name != "text/values"}
        return {**dense, "text/values": maps["text/values"][ranges(starts[rows], counts[rows])]}

    return read


def check(name: str, reader: Reader, expected: Rows, rows: np.ndarray) -> None:
    """Raise RuntimeError unless a reader returns what was written."""
    found = reader(rows)
    for key, values in expected.items():
        if not np.array_equal(found[key], values):
            raise RuntimeError(f"{name} returns other {key} than were written")


def _flat(encoded: Mapping[str, Mapping[str, np.ndarray]]) -> Rows:
    return {f"{signal}/{part}": array for signal, parts in encoded.items() for part, array in parts.items()}


def _pieces(values: Encoded, rows: int) -> Iterator[Encoded]:
    """The rows as a writer takes them, 256 at a time."""
    for start in range(0, rows, 256):
        yield {signal: _piece(parts, start, min(rows, start + 256)) for signal, parts in values.items()}


def _piece(parts: Mapping[str, np.ndarray], start: int, stop: int) -> dict[str, np.ndarray]:
    if LENGTHS not in parts:
        return {part: x[start:stop] for part, x in parts.items()}
    ends = np.concatenate([[0], np.cumsum(Packing((2, 3), causal=True).counts(parts[LENGTHS].astype(np.int64)))])
    piece = slice(int(ends[start]), int(ends[stop]))
    return {part: x[start:stop] if part == LENGTHS else x[piece] for part, x in parts.items()}
