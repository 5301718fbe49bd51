"""Writes a cache for other programs, shard by shard: Parquet, npy, or a folder that Hugging Face datasets load.

A shard's file has its name when it is whole, and not before, so the same call continues where it stopped. It refuses a
folder that holds another export.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..cache import Cache
from ..errors import CacheError
from ..format.document import open_document, seal_document
from ..keeping.verify import verify_bytes
from ..rewriting.origin import shard_rows
from ..storage.durable import publish_file, sync_path, write_errors
from .arrow import arrow_metadata
from .columns import shard_columns
from .formats import Write, finish_datasets, write_arrow, write_npy, write_parquet

FORMATS: dict[str, tuple[str, Write]] = {  # what a shard's name ends with, and how it is written
    "parquet": (".parquet", write_parquet),
    "npy": ("", write_npy),
    "hf": (".arrow", write_arrow),
}
_SETTINGS = "export.json"


@dataclass(frozen=True, slots=True)
class Exported:
    """Shards written now, shards that stood already, and those that are not finished in the cache."""

    made: tuple[str, ...]
    standing: tuple[str, ...]
    missing: tuple[str, ...]


def export_cache(
    cache: Cache,
    out: Path,
    to: str,
    signals: Sequence[str] | None = None,
    decoded: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Exported:
    """Write what is missing below the folder `out`; `progress` hears rows.

    Raises CacheError for unknown formats and signals and for another export in `out`, DamagedCacheError when the cache
    is damaged, CacheWriteError when the disk refuses.
    """
    names = check_export(cache, to, signals)
    _settle(cache, out, to, names, decoded)
    standing = tuple(shard for shard in cache.shards if _place(out, to, shard).exists())
    todo = tuple(shard for shard in cache.shards if shard not in standing)
    done, total = 0, sum(shard_rows(cache, shard) for shard in todo)
    for shard in todo:
        _export_shard(cache, out, to, shard, names, decoded)
        done += shard_rows(cache, shard)
        progress(done, total)
    if to == "hf":
        with write_errors(out):
            finish_datasets(out, [_place(out, to, shard).name for shard in cache.shards])
    return Exported(todo, standing, cache.missing())


def check_export(cache: Cache, to: str, signals: Sequence[str] | None) -> tuple[str, ...]:
    """The signals to export. Raises CacheError for a format or signal that there is not."""
    if to not in FORMATS:
        raise CacheError(f"a cache is exported to {', '.join(FORMATS)}, not to {to!r}")
    for name in signals or ():
        if name not in cache.signals:
            raise CacheError(f"{cache.url} has no signal {name!r}; it has {', '.join(cache.signals)}")
    return tuple(name for name in cache.signals if signals is None or name in signals)


def _settle(cache: Cache, out: Path, to: str, signals: tuple[str, ...], decoded: bool) -> None:
    """Write down what this export is, or find that the folder holds the same one."""
    settings: dict[str, Any] = {"format": 1, "cache": cache.manifest.digest, "to": to}
    settings |= {"signals": list(signals), "values": "decoded" if decoded else "encoded"}
    if publish_file(out / _SETTINGS, seal_document(settings)):
        return
    standing = open_document((out / _SETTINGS).read_bytes(), str(out / _SETTINGS))
    differing = [key for key, value in settings.items() if standing.get(key) != value]
    if differing:
        raise CacheError(
            f"{out} holds an export with other settings ({', '.join(differing)}); remove it, or name another folder"
        )


def _export_shard(cache: Cache, out: Path, to: str, shard: str, signals: tuple[str, ...], decoded: bool) -> None:
    verify_bytes(cache, shard)
    place = _place(out, to, shard)
    temporary = place.with_name(f".{place.name}.tmp")
    with write_errors(place):
        _remove(temporary)
        FORMATS[to][1](temporary, shard_columns(cache, shard, signals, decoded), arrow_metadata(cache))
        for written in [*temporary.rglob("*"), temporary]:
            sync_path(written)
        os.replace(temporary, place)
        sync_path(out)


def _place(out: Path, to: str, shard: str) -> Path:
    return out / f"{shard}{FORMATS[to][0]}"


def _remove(path: Path) -> None:
    """Forget what a call that was killed has left."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
