"""Holds a cache's members against what somebody asks for: which of them are needed, whether they are the right ones,
and what is missing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ..errors import SmallerCacheError, StaleCacheError
from ..format.fingerprint import check_fingerprint
from .member import Member
from .missing import missing_rectangles
from .rectangle import Rectangle


class Asked(Protocol):
    """What a cache should be: a rectangle from view 0 on, and the fingerprint of every part of it."""

    @property
    def rectangle(self) -> Rectangle: ...

    def fingerprint(self, part: Rectangle) -> Mapping[str, Any]:
        """What a cache of this part alone is known by. May leave out what is not known, such as the teacher."""


def fitting_members(members: Sequence[Member], asked: Asked) -> list[Member]:
    """The members that hold what is asked for, and finished extensions with other signals of the same samples.

    Raises StaleCacheError when one of them was built from something else.
    """
    chosen = [member for member in members if not member.name or _is_wanted(member, asked.rectangle)]
    for member in chosen:
        _check_member(member, asked)
    views = max(member.rectangle.end for member in chosen)
    if views > asked.rectangle.count:
        raise StaleCacheError(
            f"{members[0].url} was built from something else:\n  views.count: the cache has {views}, the "
            f"configuration asks for {asked.rectangle.count}\nSet views.count to {views}, or build under another "
            "cache.path."
        )
    return chosen


def require_all(members: Sequence[Member], asked: Asked) -> None:
    """Raise SmallerCacheError naming what is asked for and in no member's rectangle, finished or not."""
    missing = missing_rectangles([member.rectangle for member in members], asked.rectangle)
    if missing:
        listing = "\n  ".join(describe(part) for part in missing)
        raise SmallerCacheError(
            f"{members[0].url} holds less than the configuration asks for. It lacks\n  {listing}\n"
            "`teachercache cache extend` with the same configuration computes this and leaves the rest as it is."
        )


def describe(part: Rectangle) -> str:
    """A rectangle in words."""
    views = f"view {part.first}" if part.count == 1 else f"views {part.first} to {part.end - 1}"
    shards = part.shards[0] if len(part.shards) == 1 else f"{len(part.shards)} shards, from {part.shards[0]} on"
    return f"{', '.join(part.signals)}: {views} of {shards}"


def _is_wanted(member: Member, asked: Rectangle) -> bool:
    """Whether an extension is needed, or adds finished signals to the very samples and views that are asked for."""
    rectangle = member.rectangle
    if set(rectangle.shards).isdisjoint(asked.shards) or rectangle.first >= asked.count:
        return False
    if rectangle.meets(asked):
        return True
    return rectangle.end <= asked.count and set(rectangle.shards) <= set(asked.shards) and not member.missing()


def _check_member(member: Member, asked: Asked) -> None:
    lost = [shard for shard in member.rectangle.shards if shard not in set(asked.rectangle.shards)]
    if lost:
        raise StaleCacheError(
            f"{member.url} was built from something else:\n  source: the cache has shard {lost[0]}, which the "
            "configuration's source does not hold\nRestore the source, or build under another cache.path."
        )
    part = member.rectangle.of_signals(asked.rectangle.signals)
    check_fingerprint(member.url, member.manifest.fingerprint, asked.fingerprint(part))
