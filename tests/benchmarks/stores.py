"""Caches in an S3 server on loopback: a shard up and down beside s3fs, and a mirrored epoch beside one from a folder.

The server runs on this machine and takes its part of the processor, so wall ratios say little about a network; CPU
ratios say what this side pays. s3fs and the server are skipped, with a word, where they are not installed.
"""

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from contest import Contender, Watch, contest
from figure import Figure, compared

from teachercache.cache import Manifest, RowIndex, SignalSchema, create_cache, open_cache
from teachercache.cache.storage.address import open_store

_HERE = Path(__file__).parent
_BATCH = 256


def measure(tiny: bool, scratch: Path) -> list[Figure]:
    """The figures of this benchmark; none where there is no server."""
    try:
        server = _load(_HERE.parent / "storage" / "s3_server.py").S3Server(_folder(scratch / "server"))
    except (FileNotFoundError, RuntimeError) as error:
        return [Figure("caches in an S3 server", "not measured", str(error), 1.0)]
    try:
        with _environment(server.url, scratch / "mirror"):
            size, rounds = (1 << 18, 1) if tiny else (1 << 25, 5)
            return [
                *_transfers(server, scratch, size, rounds),
                _epoch(server, scratch, 600 if tiny else 20_000, rounds),
            ]
    finally:
        server.stop()


def _transfers(server: Any, scratch: Path, size: int, rounds: int) -> list[Figure]:
    """A file of `size` bytes up and down."""
    store = open_store(f"s3://{server.bucket}/speed")
    data, numbers = np.random.default_rng(0).bytes(size), iter(range(10**6))
    names: list[str] = []

    def up(watch: Watch) -> None:
        name = f"shards/a.{next(numbers)}"
        (store.stage(name) / "file").write_bytes(data)
        watch.start()
        store.commit(name)
        watch.stop()
        store._mirror.forget(store._place, name)  # type: ignore[attr-defined]
        names.append(name)

    def down(watch: Watch) -> None:
        name = f"{names[-1]}/file"
        watch.start()
        store.open(name).close()
        watch.stop()
        store._mirror.forget(store._place, names[-1])  # type: ignore[attr-defined]

    ways = {"up": {"teachercache": Contender(1, up)}, "down": {"teachercache": Contender(1, down)}}
    up(Watch())
    if importlib.util.find_spec("s3fs") is not None:
        _s3fs(server, scratch, data, ways)
    found = []
    for way, contenders in ways.items():
        outcome = contest(contenders, rounds)
        speed = f"{size / 1e6 * outcome.rate('teachercache'):.0f} MB/s"
        ratio = outcome.ratio("teachercache", "s3fs") if "s3fs" in contenders else None
        cpu = outcome.ratio("teachercache", "s3fs", "cpu") if "s3fs" in contenders else None
        other = f"s3fs: {size / 1e6 * outcome.rate('s3fs'):.0f} MB/s" if ratio else "s3fs is not installed"
        found.append(Figure(f"{size >> 20} MB {way}", speed, other, ratio.median if ratio else 1.0, ratio, cpu))
    return found


def _s3fs(server: Any, scratch: Path, data: bytes, ways: dict[str, dict[str, Contender]]) -> None:
    import s3fs

    system = s3fs.S3FileSystem(endpoint_url=server.url, key="me", secret="secret")
    here, there = scratch / "plain", f"{server.bucket}/plain"
    here.write_bytes(data)
    system.put_file(str(here), there)
    ways["up"]["s3fs"] = Contender(1, lambda watch: system.put_file(str(here), there))
    ways["down"]["s3fs"] = Contender(1, lambda watch: system.get_file(there, str(here)))


def _epoch(server: Any, scratch: Path, rows: int, rounds: int) -> Figure:
    """Shuffled batches of a cache that the mirror holds, beside the same cache in a folder."""
    places = {"mirror": f"s3://{server.bucket}/epoch", "folder": scratch / "cache"}
    contenders = {}
    for name, place in places.items():
        _write(place, rows)
        cache = open_cache(place)
        order = np.random.default_rng(0).permutation(cache.rows).reshape(-1, rows // 100)

        def read(watch: Watch, cache: Any = cache, order: np.ndarray = order) -> None:
            for batch in order:
                cache.encoded("logits", batch)

        contenders[name] = Contender(len(order), read)
    what = "shuffled batches of f16[512], the mirror warm"
    return compared(what, contest(contenders, rounds), "mirror", "folder", "batches", bar=0.9, clock="cpu")


def _write(place: str | Path, rows: int) -> None:
    schema = SignalSchema("logits", "f16", {}, (512,))
    shards = tuple(f"s{n}" for n in range(4))
    cache = create_cache(place, Manifest({"made": "here"}, {"logits": schema}, shards, 1, _BATCH))
    values = np.random.default_rng(0).normal(size=(rows // 4, 512)).astype(np.float32)
    for shard in shards:
        writer = cache.writer(shard)
        writer.append({"logits": cache.codec("logits").encode(values)})
        ids, none = np.array([f"{shard}-{n}" for n in range(len(values))]), np.full(len(values), -1, np.int64)
        writer.seal(RowIndex(ids, np.zeros(len(values), np.uint16), none, np.zeros((len(values), 0))))


@contextmanager
def _environment(url: str, mirror: Path) -> Iterator[None]:
    settings = {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "secret"}
    before = dict(os.environ)
    os.environ.update(settings, AWS_REGION="us-east-1", TEACHERCACHE_MIRROR=str(mirror))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path
