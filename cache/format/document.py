"""JSON documents that prove themselves: each carries the xxh3 of its own content, so a flipped byte is noticed."""

import json
from collections.abc import Mapping
from typing import Any

import xxhash

from ..errors import CacheError, DamagedCacheError
from ..storage.store import Store


def digest(content: Any) -> str:
    """xxh3-128 (hex) of a JSON value: sorted keys, no spaces, UTF-8."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return xxhash.xxh3_128_hexdigest(text.encode())


def seal_document(content: Mapping[str, Any]) -> bytes:
    """The bytes of a document: `content` and, under "checksum", its digest."""
    return json.dumps({**content, "checksum": digest(content)}, indent=1, ensure_ascii=False).encode() + b"\n"


def open_document(data: bytes, path: str) -> dict[str, Any]:
    """The content of a sealed document; `path` is for messages. Raises DamagedCacheError when it was changed."""
    try:
        content: dict[str, Any] = json.loads(data, object_pairs_hook=_once)
        proven = isinstance(content, dict) and content.pop("checksum", None) == digest(content)
    except (ValueError, RecursionError) as error:
        raise DamagedCacheError(f"{path} is not readable JSON ({error}): it was cut short or overwritten") from error
    if not proven:
        raise DamagedCacheError(f"{path} does not match its own checksum: it was changed after it was written")
    if content.get("format") != 1:
        raise CacheError(f"{path} has format {content.get('format')!r}; this version of teachercache reads format 1")
    return content


def read_document(store: Store, name: str) -> dict[str, Any]:
    """The content of a sealed document of a store. Raises FileNotFoundError, or NotADirectoryError, when there is none,
    DamagedCacheError when something else stands in its place."""
    path = f"{store.url}/{name}"
    try:
        data = store.read(name)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise DamagedCacheError(f"{path} cannot be read ({error.strerror or error})") from error
    return open_document(data, path)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, no key of which is there twice: readers would choose differently."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found
