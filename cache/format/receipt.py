"""The receipt of a shard: proof that it is complete, and the only way to find its files.

It is the last thing a builder writes, once and conditionally. Readers open only what a receipt names; a folder that no
receipt names does not exist for them.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import DamagedCacheError
from ..storage.store import Store
from .document import read_document, seal_document
from .schema import check_name

MOST_ROWS, _MOST_BYTES = 1 << 28, 1 << 48  # of a shard, of a file: more is meant to hurt


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a finished shard consists of.

    `folder` lies below the cache's root; `files` maps paths below the root to {"bytes", "xxh3"}; `manifest` is the
    digest of the fingerprint the shard was built under; `source` is {"bytes"?, "xxh3"} of the source shard, and
    under "left_out" the ids of its samples that are not in the cache because they could not be decoded, under
    "left_out_because" a reason for each, in words; `error` holds each codec's error on this shard's last batch; `cost`
    holds seconds.
    """

    shard: str
    folder: str
    rows: int
    manifest: str
    files: Mapping[str, Mapping[str, Any]]
    source: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(int(record["bytes"]) for record in self.files.values())


@dataclass(frozen=True, slots=True)
class Finished:
    """What is needed to read a finished shard: its folder below the store, and its rows."""

    shard: str
    folder: str
    rows: int


def receipt_name(shard: str) -> str:
    """Name of a shard's receipt below the store."""
    return f"receipts/{shard}.json"


def publish_receipt(store: Store, receipt: Receipt) -> bool:
    """Publish a receipt; False when the shard has one already, which then stands."""
    return store.publish(receipt_name(receipt.shard), seal_document({"format": 1, **asdict(receipt)}))


def read_receipt(store: Store, shard: str) -> Receipt | None:
    """The shard's receipt, None when there is none. Raises DamagedCacheError for one that cannot be believed."""
    path = f"{store.url}/{receipt_name(shard)}"
    try:
        content = read_document(store, receipt_name(shard))
    except (FileNotFoundError, NotADirectoryError):
        return None
    content.pop("format")
    try:
        receipt = Receipt(**content)
        _check(receipt, shard)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise DamagedCacheError(f"{path} is not a receipt this version can read: {error}") from error
    return receipt


def _check(receipt: Receipt, shard: str) -> None:
    if receipt.shard != shard:
        raise ValueError(f"it names shard {receipt.shard!r}")
    parts = receipt.folder.split("/")
    if len(parts) != 2 or parts[0] != "shards" or not parts[1].startswith(f"{shard}."):
        raise ValueError(f"folder {receipt.folder!r} is not one of this shard's")
    check_name(parts[1], "folder")
    _check_count(receipt.rows, MOST_ROWS, "rows")
    for name, record in receipt.files.items():
        if ".." in name.split("/") or not name.startswith(("shards/", "rows/")) or "\\" in name or "\0" in name:
            raise ValueError(f"file {name!r} lies outside the shard")
        _check_count(record["bytes"], _MOST_BYTES, f"bytes of file {name!r}")
    for name in ("source", "error", "cost", "versions"):
        if not isinstance(getattr(receipt, name), Mapping):
            raise ValueError(f"its {name} are {getattr(receipt, name)!r}")
    _check_word(receipt.manifest)
    _check_word(receipt.source.get("xxh3", ""))
    left_out = receipt.source.get("left_out", [])
    if not isinstance(left_out, list) or not all(isinstance(name, str) for name in left_out):
        raise ValueError("the samples that it leaves out are no list of ids")
    reasons = receipt.source.get("left_out_because", [""] * len(left_out))
    if not isinstance(reasons, list) or [type(reason) for reason in reasons] != [str] * len(left_out):
        raise ValueError("of the samples that it leaves out there is no list of reasons, one for each")


def _check_count(number: Any, most: int, what: str) -> None:
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= most:
        raise ValueError(f"{number!r} {what}")


def _check_word(text: Any) -> None:
    if not isinstance(text, str) or not text.isascii():
        raise ValueError(f"{text!r} is no hash")
