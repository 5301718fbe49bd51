"""What the receipts say of a file, found by the file's name: what is downloaded is held against it."""

from collections.abc import Mapping
from typing import Any

from ..storage.store import Store
from .receipt import read_receipt


def recorded_files(store: Store, name: str) -> Mapping[str, Mapping[str, Any]] | None:
    """{"bytes", "xxh3"} of all files of the shard to which the file `name` belongs; None when it belongs to none.

    Raises DamagedCacheError for a receipt that cannot be believed.
    """
    folder, _, rest = name.partition("/")
    attempt, _, inside = rest.partition("/")
    if not (folder == "shards" and inside) and not (folder == "rows" and attempt.endswith(".arrow")):
        return None
    shard = attempt.removesuffix(".arrow").rpartition(".")[0]
    receipt = read_receipt(store, shard) if shard else None
    return None if receipt is None else receipt.files
