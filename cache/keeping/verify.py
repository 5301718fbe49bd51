"""Checks every byte of a cache against its receipts, and takes broken shards out of use."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import xxhash

from ..cache import Cache
from ..errors import DamagedCacheError
from ..format.receipt import Receipt, receipt_name
from ..storage.store import Store

_CHUNK = 1 << 22


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is wrong with a shard."""

    shard: str
    problem: str


def verify_shard(cache: Cache, shard: str) -> Damage | None:
    """Read every file of a finished shard and compare sizes and hashes; None when all is well or it has no receipt."""
    try:
        receipt = cache.receipt(shard)
        if receipt is not None:
            _verify_files(cache.store, receipt)
    except DamagedCacheError as error:
        return Damage(shard, str(error))
    return None


def verify_cache(cache: Cache, progress: Callable[[str], None] = lambda shard: None) -> list[Damage]:
    """Verify all finished shards; `progress` hears each shard's name when it is done."""
    found = []
    for shard in cache.manifest.shards:
        damage = verify_shard(cache, shard)
        progress(shard)
        if damage:
            found.append(damage)
    return found


def retire_shard(cache: Cache, shard: str) -> str:
    """Take a broken shard out of use: its receipt moves to receipts/damaged/, so that a build makes the shard again.

    Returns the receipt's new name below the store.
    """
    aside = f"receipts/damaged/{shard}.json"
    cache.store.move(receipt_name(shard), aside)
    return aside


def _verify_files(store: Store, receipt: Receipt) -> None:
    for name, record in receipt.files.items():
        path = store.local(name)
        try:
            size = path.stat().st_size
            if size != record["bytes"]:
                raise DamagedCacheError(f"{path} has {size} bytes where {record['bytes']} were written")
            if _hash_file(path) != record["xxh3"]:
                raise DamagedCacheError(f"{path} was changed after it was written (its xxh3 differs)")
        except OSError as error:
            raise DamagedCacheError(f"{path} cannot be read ({error.strerror})") from error


def _hash_file(path: Path) -> str:
    state = xxhash.xxh3_128()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()
