"""Makes a new cache from old ones, shard by shard: what slice, recode and most merges have in common.

Each shard of the parents is proven byte for byte before it is read, so that damage is never given a new receipt. A
shard that has a receipt is not made again: the same call continues where it stopped.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..cache import Cache
from ..errors import DamagedCacheError
from ..format.manifest import Manifest
from ..format.row_index import RowIndex
from ..keeping.ranges import piece_rows
from ..keeping.verify import verify_bytes
from ..opening import create_cache, note_receipts, open_cache
from .origin import Origin, member_receipts, shard_rows
from .standing import check_standing

_PIECE_BYTES = 1 << 24  # of a signal, decoded at once
Progress = Callable[[int, int], None]  # rows done, rows to do; what it raises stops the work


@dataclass(frozen=True)
class Rewrite:
    """What a new cache is made of.

    `origins` say where each signal of `manifest` comes from. `index` gives the row index of a shard of the first
    parent, and `rows` which rows of the parents' shard (in their numbers) the new shard holds.
    """

    manifest: Manifest
    parents: tuple[Cache, ...]
    origins: Mapping[str, Origin]
    index: Callable[[str], RowIndex]
    rows: Callable[[str], np.ndarray]
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)

    def ready(self) -> tuple[str, ...]:
        """Shards that are finished in every parent."""
        return tuple(shard for shard in self.manifest.shards if all(shard in parent.shards for parent in self.parents))


@dataclass(frozen=True, slots=True)
class Rewritten:
    """`made` and `standing` shards of the new cache; `missing` ones are not finished in a parent."""

    cache: Cache
    made: tuple[str, ...]
    standing: tuple[str, ...]
    missing: tuple[str, ...]


def rewrite(out: str, plan: Rewrite, progress: Progress = lambda done, total: None) -> Rewritten:
    """Make what is missing of the new cache.

    Raises StaleCacheError when another cache is at `out`, DamagedCacheError when a parent is damaged, CacheWriteError
    when the disk refuses.
    """
    check_standing(out, plan.manifest)
    cache, ready = create_cache(out, plan.manifest, plan.constants), plan.ready()
    missing = tuple(shard for shard in plan.manifest.shards if shard not in ready)
    todo = tuple(shard for shard in ready if cache.receipt(shard) is None)
    done, total = 0, sum(len(plan.rows(shard)) for shard in todo)
    for shard in todo:
        for rows in _write_shard(cache, plan, shard):
            done += rows
            progress(done, total)
    standing = tuple(shard for shard in ready if shard not in todo)
    note_receipts(out)
    return Rewritten(open_cache(out, extensions=False), todo, standing, missing)


def _write_shard(cache: Cache, plan: Rewrite, shard: str) -> Iterator[int]:
    """Write one shard; yields the rows of each piece when they are written."""
    _prove(plan.parents, shard)
    index, rows = plan.index(shard), plan.rows(shard)
    step = min(piece_rows(schema, _PIECE_BYTES) for schema in plan.manifest.signals.values())
    errors: dict[str, dict[str, float]] = {}
    writer = cache.writer(shard)
    try:
        for start in range(0, max(1, len(rows)), step):
            piece = rows[start : start + step]
            parts = {name: origin.encoded(shard, piece) for name, origin in plan.origins.items()}
            writer.append({name: encoded for name, (encoded, _) in parts.items()})
            _worsen(errors, {name: error for name, (_, error) in parts.items()})
            yield len(piece)
        writer.seal(_chosen(index, rows), **_facts(plan, shard, len(rows), errors))
    except BaseException:
        with suppress(OSError):
            writer.discard()
        raise


def _prove(parents: tuple[Cache, ...], shard: str) -> None:
    for parent in parents:
        try:
            verify_bytes(parent, shard)
        except DamagedCacheError as error:
            advice = f"run `teachercache cache repair {parent.url}`, build the shard again, then run this again"
            raise DamagedCacheError(f"shard {shard} cannot be read from: {error}; {advice}") from error


def _chosen(index: RowIndex, rows: np.ndarray) -> RowIndex:
    return RowIndex(index.ids[rows], index.views[rows], index.labels[rows], index.parameters[rows])


def _worsen(errors: dict[str, dict[str, float]], found: Mapping[str, Mapping[str, float]]) -> None:
    """Keep the largest of each figure."""
    for name, figures in found.items():
        worst = errors.setdefault(name, {})
        for key, value in figures.items():
            worst[key] = max(worst.get(key, value), value)


def _facts(plan: Rewrite, shard: str, rows: int, errors: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Source, error and cost of the new receipt; the cost is what the rows that it took over have cost."""
    cost: dict[str, float] = {}
    for parent in plan.parents:
        share = rows / max(1, shard_rows(parent, shard))
        for receipt in member_receipts(parent, shard):
            for key, value in receipt.cost.items():
                cost[key] = cost.get(key, 0.0) + float(value) * share
    first = plan.parents[0].receipts[shard]
    error = {name: errors.get(name) or origin.measured(shard) for name, origin in plan.origins.items()}
    return {"source": first.source, "error": error, "cost": cost, "versions": first.versions}
