"""Whether caches belong together: built as one, or about the same samples and views, row for row."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..cache import Cache
from ..errors import CacheError
from ..format.fingerprint import differences
from ..format.row_index import RowIndex
from .origin import shard_rows

_KEYS = ("source", "views")  # fields of the fingerprint that say which samples and views there are


def check_one_cache(parts: Sequence[Cache]) -> None:
    """Raise CacheError, naming every field that differs, unless all parts were built as one cache."""
    first = parts[0]
    for part in parts:
        if len(part.members) > 1:
            raise CacheError(f"{part.url} has extensions; `teachercache cache slice` makes one cache of it first")
        lines = _differing(first, part, first.manifest.fingerprint, part.manifest.fingerprint)
        if part.manifest.constants != first.manifest.constants:
            lines.append("constants: they differ")
        if lines:
            raise CacheError(
                f"{first.url} and {part.url} are not parts of one cache:\n  "
                + "\n  ".join(lines)
                + f"\n{_advice(lines)}"
            )


def _advice(lines: Sequence[str]) -> str:
    if all(line.startswith(("source", "derived")) for line in lines):
        return (
            "Their sources differ, as those of slices of different shards do. merge joins what `teachercache cache "
            "build --shards` has made of one source; to have other shards in one cache, slice the whole one again."
        )
    return "Say --side-by-side to keep the signals of several teachers under their names, or --average."


def check_same_keys(parents: Sequence[Cache]) -> None:
    """Raise CacheError unless the parents are of the same source, shards and views."""
    first = parents[0].manifest
    for parent in parents[1:]:
        own = parent.manifest
        ours, theirs = ({key: m.fingerprint.get(key) for key in _KEYS} for m in (first, own))
        lines = _differing(parents[0], parent, ours, theirs)
        same = (first.shards, first.views, first.parameters) == (own.shards, own.views, own.parameters)
        if lines or not same:
            raise CacheError(
                f"{parents[0].url} and {parent.url} are not about the same samples and views:\n  "
                + "\n  ".join(lines or ["their shards, or the parameters of their views, differ"])
            )


def view_signals(parents: Sequence[Cache]) -> dict[str, Cache]:
    """Signals that no teacher said, such as the pixels of the views, by the first parent that keeps them: they follow
    from samples and views, so parents of the same keys share them."""
    found: dict[str, Cache] = {}
    for parent in parents:
        for name, schema in parent.manifest.signals.items():
            if schema.point == "view":
                found.setdefault(name, parent)
    return found


def described(parent: Cache, signal: str) -> Mapping[str, Any]:
    """What a cache's fingerprint says of one of its signals."""
    about: Mapping[str, Any] = parent.manifest.fingerprint.get("signals", {}).get(signal, {})
    return about


def index_of(parents: Sequence[Cache]) -> Callable[[str], RowIndex]:
    """The row index of a shard, which all parents share. Raises CacheError naming the first row that differs."""

    def index(shard: str) -> RowIndex:
        first = parents[0].reader(shard).index
        for parent in parents[1:]:
            _check_rows(shard, parents[0], first, parent, parent.reader(shard).index)
        return first

    return index


def rows_of(parents: Sequence[Cache]) -> Callable[[str], np.ndarray]:
    """All rows of a shard."""
    return lambda shard: np.arange(shard_rows(parents[0], shard))


def _check_rows(shard: str, a: Cache, ours: RowIndex, b: Cache, theirs: RowIndex) -> None:
    if len(ours) != len(theirs):
        raise CacheError(f"shard {shard} has {len(ours)} rows in {a.url} and {len(theirs)} in {b.url}")
    for what in ("ids", "views", "labels", "parameters"):
        one, other = getattr(ours, what), getattr(theirs, what)
        same = (one == other).all(axis=tuple(range(1, one.ndim)))
        if not same.all():
            row = int(np.argmin(same))
            raise CacheError(
                f"shard {shard}, row {row} (sample {str(ours.ids[row])!r}): {a.url} and {b.url} have different {what}"
            )


def _differing(a: Cache, b: Cache, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """One line per field that differs."""
    lines = differences(ours, theirs)
    return [
        line.replace("the cache has", f"{a.url} has").replace("the configuration asks for", f"{b.url} has")
        for line in lines
    ]
