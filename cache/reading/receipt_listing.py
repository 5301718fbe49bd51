"""Which shards of a cache are finished: the table of receipts where it is up to date, else the receipts themselves.

It refuses to take part of a table: a row stands only for the very file it was made from.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from ..errors import CacheWriteError, DamagedCacheError
from ..format.manifest import Manifest
from ..format.receipt import Receipt, read_receipt
from ..format.receipt_table import TABLE_FILE, Identity, ReceiptTable, decode_table, encode_table, record_of, table_of
from ..storage.store import Store

_WORTH = 64  # receipts that are read faster from one table; a small cache is opened without one, and left as it is
_THREADS = 8


def open_table(store: Store, manifest: Manifest) -> ReceiptTable:
    """The finished shards as they are now; a table that was missing or old is written anew where that is allowed.

    Raises DamagedCacheError for a receipt that cannot be believed, or that belongs to another manifest.
    """
    found, old = _identities(store, manifest), _read_table(store)
    if old is not None and old.identities == found and old.shards == tuple(found):
        table = old
    else:
        table = _made(store, found, old)
        if len(table) >= _WORTH or old is not None:
            with suppress(CacheWriteError):  # a reader may lack the right to write; it can do without
                _write_table(store, table)
    _check_manifest(store, manifest, table)
    return table


def write_table(store: Store, manifest: Manifest) -> None:
    """Write the table of all receipts that stand now. Raises CacheWriteError when the store refuses."""
    _write_table(store, _made(store, _identities(store, manifest), _read_table(store)))


@dataclass(frozen=True)
class Receipts(Mapping[str, Receipt]):
    """Receipts of finished shards, each read when it is asked for."""

    store: Store
    table: ReceiptTable

    def __getitem__(self, shard: str) -> Receipt:
        expected = self.table.finished(shard)
        receipt = read_receipt(self.store, shard)
        if receipt is None or (receipt.folder, receipt.rows) != (expected.folder, expected.rows):
            raise DamagedCacheError(
                f"{self.store.url}: shard {shard} was taken out of use, or built anew, while the cache was open; "
                "open the cache again"
            )
        return receipt

    def __iter__(self) -> Iterator[str]:
        return iter(self.table.shards)

    def __len__(self) -> int:
        return len(self.table)

    def __contains__(self, shard: object) -> bool:
        return shard in self.table.places


def _identities(store: Store, manifest: Manifest) -> dict[str, Identity]:
    """Size and version of each receipt there is, in the manifest's order."""
    listed = {entry.name: (entry.bytes, entry.version) for entry in store.entries("receipts")}
    names = ((shard, f"{shard}.json") for shard in manifest.shards)
    return {shard: listed[name] for shard, name in names if name in listed}


def _read_table(store: Store) -> ReceiptTable | None:
    try:
        return decode_table(store.read(TABLE_FILE))
    except OSError:
        return None


def _write_table(store: Store, table: ReceiptTable) -> None:
    store.replace(TABLE_FILE, encode_table(table))


def _made(store: Store, found: Mapping[str, Identity], old: ReceiptTable | None) -> ReceiptTable:
    """A table of the receipts in `found`: rows of the old table whose receipt is the same file, the others read."""
    same = set() if old is None else {shard for shard, it in old.identities.items() if found.get(shard) == it}
    known = {} if old is None else {record["shard"]: record for record in old.records() if record["shard"] in same}
    unread = [shard for shard in found if shard not in known]
    with ThreadPoolExecutor(_THREADS if len(unread) >= _WORTH else 1) as threads:
        receipts = threads.map(lambda shard: read_receipt(store, shard), unread)
        known |= {it.shard: record_of(it, found[it.shard]) for it in receipts if it is not None}
    return table_of([known[shard] for shard in found if shard in known])


def check_receipt(store: Store, manifest: Manifest, receipt: Receipt) -> Receipt:
    """The receipt, when it is one of this manifest's. Raises DamagedCacheError otherwise."""
    if receipt.manifest != manifest.digest:
        raise _foreign(store, receipt.shard)
    return receipt


def _check_manifest(store: Store, manifest: Manifest, table: ReceiptTable) -> None:
    if not set(table.manifests()) <= {manifest.digest}:
        digests = table.columns["manifest"].to_pylist()
        raise _foreign(store, table.shards[next(i for i, it in enumerate(digests) if it != manifest.digest)])


def _foreign(store: Store, shard: str) -> DamagedCacheError:
    return DamagedCacheError(f"shard {shard} in {store.url} was built under another manifest; run `cache verify`")
