"""What a source or a view policy is known by: plain JSON, and one hash over a listing.

It refuses to hash with Python's `hash()`, which differs from process to process.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import xxhash

JSON: TypeAlias = Mapping[str, "JSON"] | Sequence["JSON"] | str | int | float | bool | None


def listing_digest(entries: Iterable[tuple[str | int, ...]]) -> str:
    """xxh3-128, in hex, of a listing: every entry in order, so that a file that is added, renamed or resized shows."""
    digest = xxhash.xxh3_128()
    for entry in entries:
        digest.update("\0".join(map(str, entry)).encode() + b"\n")
    return digest.hexdigest()
