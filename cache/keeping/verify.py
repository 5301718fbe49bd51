"""Checks a cache against its receipts: every byte, every row, every value. It only reports; `repair` mends."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..cache import Cache
from ..errors import CacheError, CacheUnreachableError, DamagedCacheError
from ..format.receipt import Finished
from ..grid.member import Member
from ..reading.shard_reader import ShardReader
from .coverage import check_coverage
from .damage import Damage
from .files import check_files
from .ranges import check_ranges
from .root_group import check_root
from .table import check_table

Progress = Callable[[str], None]  # hears each shard's name when it is done


def verify_cache(cache: Cache, progress: Progress = lambda shard: None, fast: bool = False) -> list[Damage]:
    """What is wrong with an open cache and its extensions."""
    return verify_members(cache.members, progress, fast)


def verify_members(
    members: Sequence[Member], progress: Progress = lambda shard: None, fast: bool = False
) -> list[Damage]:
    """Verify all finished shards of a cache's members, and what these share.

    All files are hashed, the row index and every decoded value looked at; `fast` compares the sizes of files alone.
    """
    found, ids = [], _Ids()
    for member in members:
        for shard in member.manifest.shards:
            damage, samples = _verified(member, shard, fast)
            progress(shard)
            if damage:
                found.append(damage)
            else:
                ids.add(shard, samples)
        found += [Damage("", problem, member.name) for problem in _shared(member)]
    return [*found, *ids.damages()]


def verify_bytes(cache: Cache, shard: str) -> None:
    """Raise DamagedCacheError unless every byte of a finished shard is as it was written, in all members."""
    for member in cache.members:
        receipt = member.receipt(shard) if shard in member.manifest.shards else None
        if receipt is not None:
            check_files(member.store, receipt)


def _verified(member: Member, shard: str, fast: bool) -> tuple[Damage | None, np.ndarray]:
    """What is wrong with a shard, and the ids of its samples (none when `fast`)."""
    samples = np.zeros(0, np.str_)
    try:
        receipt = member.receipt(shard)
        if receipt is not None:
            check_files(member.store, receipt, fast)
        if receipt is not None and not fast:
            reader = ShardReader(member.store, member.manifest, Finished(shard, receipt.folder, receipt.rows))
            samples = check_coverage(member, receipt, reader).ids[:: member.manifest.views]
            check_ranges(member, reader)
    except CacheUnreachableError:
        raise  # nobody knows what is in a store that does not answer
    except CacheError as error:
        return Damage(shard, str(error), member.name), samples
    return None, samples


def _shared(member: Member) -> Iterator[str]:
    """What is wrong with what all shards of a member share: its constants, the table of its receipts, the root."""
    for name in member.manifest.constants:
        try:
            member.constant(name)
        except DamagedCacheError as error:
            yield str(error)
    for check in (check_table, check_root):
        try:
            check(member)
        except DamagedCacheError as error:
            yield str(error)


@dataclass(slots=True)
class _Ids:
    """Sample ids of all shards, to find one that two shards hold."""

    shards: list[str] = field(default_factory=list)
    ids: list[np.ndarray] = field(default_factory=list)

    def add(self, shard: str, ids: np.ndarray) -> None:
        if shard in self.shards:
            return  # another member's part of the same samples
        self.shards.append(shard)
        self.ids.append(ids)

    def damages(self) -> list[Damage]:
        if not self.ids:
            return []
        ids = np.concatenate(self.ids)
        order = np.argsort(ids, kind="stable")
        same = np.flatnonzero(ids[order][1:] == ids[order][:-1])
        owner = np.repeat(np.arange(len(self.ids)), [len(part) for part in self.ids])
        pairs = {(int(owner[order[i]]), int(owner[order[i + 1]])): str(ids[order[i]]) for i in same[::-1]}
        return [
            Damage(self.shards[b], f"sample {name!r} is in shard {self.shards[a]} too: an id names one sample")
            for (a, b), name in sorted(pairs.items())
        ]
