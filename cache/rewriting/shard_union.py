"""One cache from parts of it that were built in different places: whole shards are linked or copied, and proven.

The parts must be of one fingerprint. A shard that two parts hold with other values is an error, never a choice.
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from ..cache import Cache
from ..errors import CacheError, CacheWriteError, DamagedCacheError
from ..format.receipt import Receipt, publish_receipt, read_receipt
from ..format.row_index import rows_path
from ..keeping.files import check_files
from ..opening import create_cache, note_receipts
from ..storage.durable import write_errors
from ..storage.folder import FolderStore
from .agreement import check_one_cache
from .standing import check_standing

_ANY = "shards/x.0"  # in the place of an attempt's folder


@dataclass(frozen=True, slots=True)
class UnionPlan:
    """From which part each shard comes. `double` shards are in several parts, `missing` ones in none."""

    sources: dict[str, Cache]
    double: tuple[str, ...]
    missing: tuple[str, ...]


def plan_union(parts: Sequence[Cache], first_wins: bool = False) -> UnionPlan:
    """Raises CacheError for parts of different fingerprints, and for a shard that two parts hold with other values."""
    check_one_cache(parts)
    sources: dict[str, Cache] = {}
    double: list[str] = []
    for shard in parts[0].manifest.shards:
        holders = [part for part in parts if shard in part.shards]
        if holders:
            sources[shard] = holders[0]
        for other in holders[1:]:
            double += [shard] if shard not in double else []
            if not first_wins and not _same_shard(holders[0], other, shard):
                raise CacheError(
                    f"shard {shard} is in {holders[0].url} and in {other.url} with different values; say --first-wins "
                    "to take it from the one that is named first, or leave one of them out"
                )
    return UnionPlan(sources, tuple(double), tuple(shard for shard in parts[0].manifest.shards if shard not in sources))


def unite_shards(
    out: str, parts: Sequence[Cache], plan: UnionPlan, progress: Callable[[int, int], None], copy: bool = False
) -> tuple[str, ...]:
    """Make what is missing of the united cache; the shards that were made. `progress` hears bytes.

    Raises DamagedCacheError when a file of a part is not as it was written.
    """
    check_standing(out, parts[0].manifest)
    constants = {name: parts[0].constant(name) for name in parts[0].manifest.constants}
    cache = create_cache(out, parts[0].manifest, constants)
    todo = [shard for shard in plan.sources if cache.receipt(shard) is None]
    total, done = sum(plan.sources[shard].receipts[shard].bytes for shard in todo), 0
    for shard in todo:
        part = plan.sources[shard]
        _adopt(cache, part, part.receipts[shard], copy)
        done += part.receipts[shard].bytes
        progress(done, total)
    note_receipts(out)
    return tuple(todo)


def _adopt(cache: Cache, part: Cache, receipt: Receipt, copy: bool) -> None:
    """Give a cache a shard of another one. The receipt is the last thing, as when a shard is built."""
    folder = f"shards/{receipt.shard}.{uuid4().hex[:12]}"
    names = {name: _renamed(name, receipt.folder, folder) for name in receipt.files}
    adopted = replace(receipt, folder=folder, files={names[name]: record for name, record in receipt.files.items()})
    try:
        staged, index = cache.store.stage(folder), rows_path(receipt.folder)
        for name, new in names.items():
            if name != index:
                place = staged / new.removeprefix(f"{folder}/")
                _take(part, name, place, copy)
        cache.store.commit(folder)
        cache.store.publish(rows_path(folder), part.store.read(index))
        check_files(cache.store, adopted)
        if not publish_receipt(cache.store, adopted):
            standing = read_receipt(cache.store, receipt.shard)
            if standing is None or standing.folder != folder:
                cache.store.remove([folder, rows_path(folder)])
    except DamagedCacheError as error:
        cache.store.remove([folder, rows_path(folder)])
        raise DamagedCacheError(f"shard {receipt.shard} of {part.url} is damaged: {error}") from error
    except BaseException:
        with suppress(OSError, CacheWriteError):
            cache.store.remove([folder, rows_path(folder)])
        raise


def _take(part: Cache, name: str, place: Path, copy: bool) -> None:
    """A file of a part under a new path: the same file by another name where the file system can, else a copy."""
    with write_errors(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        if not copy and isinstance(part.store, FolderStore):
            with suppress(OSError):
                os.link(part.store.root / name, place)
                return
    try:
        source = part.store.open(name)
    except OSError as error:
        raise DamagedCacheError(f"{part.url}/{name} cannot be read ({error.strerror})") from error
    with source, write_errors(place), place.open("xb") as file:
        shutil.copyfileobj(source, file, 1 << 22)


def _renamed(name: str, old: str, new: str) -> str:
    return rows_path(new) if name == rows_path(old) else f"{new}/{name.removeprefix(f'{old}/')}"


def _same_shard(a: Cache, b: Cache, shard: str) -> bool:
    """Whether two caches hold the same arrays and rows of a shard. Groups may differ in the error that was measured."""
    ours, theirs = _content(a.receipts[shard]), _content(b.receipts[shard])
    if set(ours) != set(theirs):
        return False
    groups = {f"{_ANY}/{name}/zarr.json": name for name in a.manifest.signals}
    different = [name for name in ours if ours[name] != theirs[name]]
    return all(
        name in groups and _group(a, shard, groups[name]) == _group(b, shard, groups[name]) for name in different
    )


def _content(receipt: Receipt) -> dict[str, str]:
    """Hashes of a shard's files by names that do not depend on who built it."""
    return {_renamed(name, receipt.folder, _ANY): str(record["xxh3"]) for name, record in receipt.files.items()}


def _group(cache: Cache, shard: str, signal: str) -> object:
    """What the group of a signal says of itself, without the measured error."""
    name = f"{cache.receipts[shard].folder}/{signal}/zarr.json"
    try:
        group = json.loads(cache.store.read(name))
        group["attributes"]["teachercache"].pop("error", None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedCacheError(f"{cache.url}/{name} is no group of a cache ({error!r})") from error
    return group
