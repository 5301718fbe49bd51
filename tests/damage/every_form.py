"""A small cache that has every codec, both compressions, rows of different lengths, constants, an extension and a table
of its receipts; and one way to read and compare everything that it says."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from teachercache.cache import Cache, HeadLogits, Manifest, RowIndex, SignalSchema, create_cache, open_cache
from teachercache.cache.codecs import CODECS, Packing, QueryKey, Ragged
from teachercache.cache.format.document import open_document
from teachercache.cache.format.receipt_table import decode_table
from teachercache.cache.grid.extension import extension_folder, publish_extension
from teachercache.cache.opening import note_receipts
from teachercache.cache.storage.folder import FolderStore

CLASSES, VIEWS, SHARDS = 9, 2, {"s0": 5, "s1": 3}  # samples of each shard
FACTORED = {"keep": "int8", "width": 3, "key_heads": 1, "causal": True}
_HEAD = {"weight": "head.weight", "bias": "head.bias"}
_PCA = {"mean": "pca.mean", "basis": "pca.basis"}
_ALL = (
    SignalSchema("f32", "f32", {}, (5,)),
    SignalSchema("f16", "f16", {}, (3, 2)),
    SignalSchema("bf16", "bf16", {}, (4,)),
    SignalSchema("int8", "int8", {}, (6,)),
    SignalSchema("u8affine", "u8affine", {"scale": "f16"}, (6,)),
    SignalSchema("u8", "u8", {}, (4, 4, 1)),
    SignalSchema("u8sqrt", "u8sqrt", {}, (2, 4, 4), "attention.0"),
    SignalSchema("topk", "topk", {"k": 3, "temperatures": [1.0, 2.0], "entropy": True}, (CLASSES,)),
    SignalSchema("pps", "pps", {"k": 3, "temperatures": [1.0, 2.0]}, (CLASSES,)),
    SignalSchema("sampling", "sampling", {"draws": 8}, (CLASSES,)),
    SignalSchema("head", "head", {"keep": "f16", "classes": CLASSES}, (4,), constants=_HEAD),
    SignalSchema("pca", "pca", {"dimensions": 2, "keep": "f16"}, (4,), constants=_PCA),
    SignalSchema("text", "f16", {}, (5, 3), packing=Packing((0,))),
    SignalSchema(
        "said.topk", "topk", {"k": 3, "temperatures": [1.0], "entropy": True}, (5, CLASSES), packing=Packing((0,))
    ),
    SignalSchema("said.pps", "pps", {"k": 3, "temperatures": [1.0, 2.0]}, (5, CLASSES), packing=Packing((0,))),
    SignalSchema("said.drawn", "sampling", {"draws": 8}, (5, CLASSES), packing=Packing((0,))),
    SignalSchema("maps", "u8sqrt", {}, (2, 5, 5), "attention.1", packing=Packing((1, 2), True)),
    SignalSchema("factored", "factored", FACTORED, (2, 5, 5), "attention.2", packing=Packing((1,))),
)
BASE = {schema.name: schema for schema in _ALL}
ADDED = {f"{name}.zstd": replace(schema, name=f"{name}.zstd", compression="zstd") for name, schema in BASE.items()}
assert {schema.codec for schema in _ALL} == set(CODECS)


def make_constants() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    basis, _ = np.linalg.qr(rng.normal(size=(4, 2)))
    shapes: dict[str, Any] = {"head.weight": (CLASSES, 4), "head.bias": CLASSES, "pca.mean": 4}
    return {name: rng.normal(size=shape).astype("f4") for name, shape in shapes.items()} | {
        "pca.basis": basis.astype("f4")
    }


def random_values(schema: SignalSchema, rows: int, seed: int) -> Any:
    """What the signal's codec can encode: (rows, *shape)."""
    rng, constants = np.random.default_rng(seed), make_constants()
    lengths = rng.integers(0, 6, rows)
    match schema.codec:
        case "u8":
            return rng.integers(0, 256, (rows, *schema.shape), np.uint8)
        case "head":
            return HeadLogits(rng.normal(size=(rows, 4)), constants["head.weight"], constants["head.bias"])
        case "factored":
            query, key = rng.normal(size=(rows, 2, 5, 3)), rng.normal(size=(rows, 1, 5, 3))
            return QueryKey(query, key, lengths, True)
        case "u8sqrt" if schema.packing is None:
            return rng.dirichlet(np.ones(4), (rows, 2, 4)).astype("f4")
        case "u8sqrt":
            maps = np.tril(rng.random((rows, 2, 5, 5)))
            return Ragged(maps / maps.sum(-1, keepdims=True), lengths)
    values = rng.normal(0, 3, (rows, *schema.shape)).astype("f4")
    return values if schema.packing is None else Ragged(values, lengths)


def write_shard(cache: Cache, shard: str, samples: int, seed: int = 0) -> None:
    """One shard of a member."""
    rows, number = samples * VIEWS, sorted(cache.manifest.shards).index(shard) + 100 * seed
    writer = cache.writer(shard)
    values = {name: random_values(schema, rows, number) for name, schema in cache.manifest.signals.items()}
    ids = np.repeat([f"{shard}/{i}" for i in range(samples)], VIEWS)
    labels = np.repeat(np.arange(samples) % CLASSES - 1, VIEWS)
    views = np.tile(np.arange(VIEWS, dtype=np.uint16), samples)
    parameters = np.random.default_rng(number).normal(size=(rows, 2))
    try:
        writer.append({name: cache.codec(name).encode(each) for name, each in values.items()})
        writer.seal(RowIndex(ids, views, labels, parameters), source={"xxh3": "0"}, cost={"seconds": 1.0})
    except BaseException:
        writer.discard()
        raise


def make_manifest(signals: Mapping[str, SignalSchema], shards: tuple[str, ...] = tuple(SHARDS)) -> Manifest:
    about = {"teacher": {"weights": "abc"}, "signals": {name: {} for name in signals}, "views": {"count": VIEWS}}
    classes = tuple("abcdefghi")
    return Manifest(about, signals, shards, VIEWS, 4, ("left", "top"), classes, {"model": "é"}, {"numpy": "2"})


def make_cache(
    root: Path, base_signals: Mapping[str, SignalSchema] = BASE, added_signals: Mapping[str, SignalSchema] = ADDED
) -> Cache:
    """The whole cache; opened anew."""
    base = create_cache(root, make_manifest(base_signals), make_constants())
    store = FolderStore(root)
    added = create_cache(root / extension_folder("001-zstd"), make_manifest(added_signals), make_constants())
    for shard, samples in SHARDS.items():
        write_shard(base, shard, samples)
        write_shard(added, shard, samples)
    publish_extension(store, "001-zstd")
    for member in (root, root / extension_folder("001-zstd")):
        note_receipts(member)
    return open_cache(root)


def make_small_cache(root: Path) -> Cache:
    """The same with few signals, for tests that read it many times."""
    base = {name: BASE[name] for name in ("f16", "head", "text")}
    return make_cache(root, base, {name: ADDED[name] for name in ("maps.zstd", "topk.zstd")})


def leaves(value: Any) -> Iterator[Any]:
    """The arrays of something decoded, in an order of its own."""
    if isinstance(value, np.ndarray) or np.isscalar(value):
        yield np.asarray(value)
    elif isinstance(value, Mapping):
        for key in value:
            yield from leaves(value[key])
    elif hasattr(value, "__dataclass_fields__"):
        for field in value.__dataclass_fields__:
            yield from leaves(getattr(value, field))


def everything(root: Path, check: bool = False) -> dict[str, list[Any]]:
    """All that a reader can hear from the cache, by name."""
    cache = open_cache(root, check=check)
    batch = cache.read(np.arange(min(cache.rows, 100)))
    said = {name: list(leaves(values)) for name, values in batch.signals.items()}
    said |= {"ids": [batch.ids], "labels": [batch.labels], "views": [batch.views]}
    said["parameters"] = [cache.reader(shard).parameters.copy() for shard in cache.shards]
    return said


def same(one: Mapping[str, list[Any]], other: Mapping[str, list[Any]]) -> bool:
    """Whether two readings heard the same, bit for bit."""
    return one.keys() == other.keys() and all(
        len(one[name]) == len(other[name])
        and all(a.tobytes() == b.tobytes() for a, b in zip(one[name], other[name], strict=True))
        for name in one
    )


@contextmanager
def replaced(contents: Mapping[Path, bytes]) -> Iterator[None]:
    """Other bytes in some files, for a while."""
    before = {path: path.read_bytes() for path in contents}
    try:
        for path, data in contents.items():
            path.write_bytes(data)
        yield
    finally:
        for path, data in before.items():
            path.write_bytes(data)


def meaning(path: Path, data: bytes) -> Any:
    """What bytes say that JSON or the table of receipts can say in two ways; others say themselves."""
    if path.suffix == ".json" and path.name != "zarr.json":
        return open_document(data, str(path))
    table = decode_table(data) if path.name == "receipts.arrow" else None
    return data if table is None else table.records()
