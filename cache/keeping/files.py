"""The files of a finished shard against its receipt: sizes, and the hash of every byte as it lies in the store."""

from collections.abc import Mapping
from typing import Any

import xxhash

from ..errors import DamagedCacheError
from ..format.receipt import Receipt
from ..format.row_index import rows_path
from ..storage.store import Store


def check_files(store: Store, receipt: Receipt, fast: bool = False) -> None:
    """Raise DamagedCacheError for the first file that is not what was written; `fast` compares sizes alone."""
    if fast:
        _check_sizes(store, receipt)
        return
    for name, record in receipt.files.items():
        _check_bytes(store, name, record)


def _check_sizes(store: Store, receipt: Receipt) -> None:
    index = rows_path(receipt.folder)
    found = {file.name: file.bytes for file in store.tree(receipt.folder)}
    found |= {f"rows/{entry.name}": entry.bytes for entry in store.entries("rows") if f"rows/{entry.name}" == index}
    for name, record in receipt.files.items():
        if name not in found:
            raise DamagedCacheError(f"{store.url}/{name} cannot be read (it is not there)")
        if found[name] != record["bytes"]:
            raise DamagedCacheError(f"{store.url}/{name} has {found[name]} bytes where {record['bytes']} were written")


def _check_bytes(store: Store, name: str, record: Mapping[str, Any]) -> None:
    state, size = xxhash.xxh3_128(), 0
    try:
        for piece in store.pieces(name):
            state.update(piece)
            size += len(piece)
    except OSError as error:
        raise DamagedCacheError(f"{store.url}/{name} cannot be read ({error.strerror or error})") from error
    if size != record["bytes"]:
        raise DamagedCacheError(f"{store.url}/{name} has {size} bytes where {record['bytes']} were written")
    if state.hexdigest() != record["xxh3"]:
        raise DamagedCacheError(f"{store.url}/{name} was changed after it was written (its xxh3 differs)")
