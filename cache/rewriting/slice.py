"""A part of a cache as a cache of its own: some signals, some shards, some views."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

import numpy as np

from ..cache import Cache
from ..errors import CacheError
from .origin import Copied, shard_rows
from .rewrite import Rewrite


def slice_plan(
    cache: Cache,
    signals: Sequence[str] | None = None,
    shards: Sequence[str] | None = None,
    views: tuple[int, int] | None = None,
    source: Mapping[str, Any] | None = None,
) -> Rewrite:
    """How to cut out these signals, shards and views (first, last); what is None stays whole.

    `source` is the fingerprint of a source that holds these shards alone; without it the slice of some shards can be
    read by everybody, but no configuration can name its source. Raises CacheError for what the cache does not have.
    """
    manifest = cache.manifest
    wanted = _known("signal", signals, cache.signals)
    chosen = _known("shard", shards, manifest.shards)
    first, last = views or (0, manifest.views - 1)
    if not 0 <= first <= last < manifest.views:
        raise CacheError(f"{cache.url} holds views 0 to {manifest.views - 1}, not {first} to {last}")
    fingerprint = dict(manifest.fingerprint)
    if "signals" in fingerprint:
        fingerprint["signals"] = {n: s for n, s in fingerprint["signals"].items() if n in wanted}
    if chosen != tuple(manifest.shards) or "added" in fingerprint:
        whole = {"whole": fingerprint.get("source"), "shards": list(chosen)}
        fingerprint["source"] = whole if source is None else source
        fingerprint.pop("added", None)
    if (first, last) != (0, manifest.views - 1):
        fingerprint["views"] = _views(fingerprint.get("views"), manifest.first_view + first, last - first + 1)
    fingerprint["derived"] = {"verb": "slice", "parents": [manifest.digest]}
    schemas = {name: manifest.signals[name] for name in wanted}
    constants = {name for schema in schemas.values() for name in schema.constants.values()}
    return Rewrite(
        replace(
            manifest,
            fingerprint=fingerprint,
            signals=schemas,
            shards=chosen,
            views=last - first + 1,
            first_view=manifest.first_view + first,
            constants={},
        ),
        (cache,),
        {name: Copied(cache, name) for name in wanted},
        lambda shard: cache.reader(shard).index,
        lambda shard: _rows(shard_rows(cache, shard), manifest.views, first, last),
        {name: cache.constant(name) for name in sorted(constants)},
    )


def _rows(rows: int, views: int, first: int, last: int) -> np.ndarray:
    """Rows of a shard that are seen under views first to last: (n,) int64."""
    found: np.ndarray = np.arange(rows).reshape(-1, views)[:, first : last + 1].reshape(-1)
    return found


def _views(views: Any, first: int, count: int) -> Any:
    """The fingerprint of some of the views. A view is drawn from its number alone, whatever their count."""
    known = {key: value for key, value in dict(views or {}).items() if key != "first"}
    return {**known, "count": count, **({"first": first} if first else {})}


def _known(what: str, asked: Sequence[str] | None, there: Sequence[str]) -> tuple[str, ...]:
    """`asked`, in the cache's order; all when it is None."""
    for name in asked or ():
        if name not in there:
            near = [f"{word!r}" for word in get_close_matches(name, there, 1, 0.5)]
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(there[:9])}"
            raise CacheError(f"the cache has no {what} {name!r}; {hint}")
    return tuple(name for name in there if asked is None or name in asked)
