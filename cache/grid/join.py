"""Joins members into one: one manifest over all of them. It refuses members that call two things by one name."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import CacheError
from ..format.manifest import Manifest
from .member import Member


def joined_manifest(members: Sequence[Member], shards: tuple[str, ...], views: int) -> Manifest:
    """The manifest of the whole grid; with one member, its own.

    Raises CacheError naming the extension that does not fit: another block, other parameters of views, or a signal of
    the same name that was heard or kept otherwise.
    """
    base = members[0].manifest
    for member in members[1:]:
        _check(members[0], member)
    if len(members) == 1:
        return base
    for later, member in enumerate(members):
        for earlier in members[:later]:
            _check_signals(earlier, member)
    signals = {name: schema for member in reversed(members) for name, schema in member.manifest.signals.items()}
    order = dict.fromkeys(name for member in members for name in member.manifest.signals)
    constants = {name: it for member in reversed(members) for name, it in member.manifest.constants.items()}
    return replace(
        base,
        fingerprint=_fingerprint(members, views),
        signals={name: signals[name] for name in order},
        shards=shards,
        views=views,
        constants=constants,
    )


def _fingerprint(members: Sequence[Member], views: int) -> dict[str, Any]:
    """That of the base with all signals and views; a signal of another teacher, and added shards, say so."""
    base = dict(members[0].manifest.fingerprint)
    signals: dict[str, Any] = {}
    sources = []
    for member in members:
        found = member.manifest.fingerprint
        other = {} if found.get("teacher") == base.get("teacher") else {"teacher": found.get("teacher")}
        for name, signal in dict(found.get("signals", {})).items():
            signals.setdefault(name, {**signal, **other})
        if not set(member.manifest.shards) <= set(members[0].manifest.shards):
            sources.append(dict(found.get("source", {})))
    joined: dict[str, Any] = {**base, "signals": signals, "views": {**_mapping(base.get("views")), "count": views}}
    return {**joined, "added": sources} if sources else joined


def _check(base: Member, member: Member) -> None:
    for field in ("block", "parameters"):
        if getattr(base.manifest, field) != getattr(member.manifest, field):
            raise CacheError(f"{member.url} does not fit {base.url}: its {field} differ; remove the extension")


def _check_signals(one: Member, other: Member) -> None:
    """Raise CacheError when a signal of both is not the same in both."""
    for name in set(one.manifest.signals) & set(other.manifest.signals):
        same = _kept(one.manifest, name) == _kept(other.manifest, name)
        if not same or one.manifest.fingerprint.get("teacher") != other.manifest.fingerprint.get("teacher"):
            raise CacheError(
                f"{other.url}: signal {name} is not the one of {one.url} (another teacher, codec or shape); "
                "remove the extension, or give its signal another name"
            )


def _kept(manifest: Manifest, signal: str) -> tuple[Any, ...]:
    """All that a signal's bytes mean, without the error that was measured."""
    schema = manifest.signals[signal]
    constants = {argument: manifest.constants[name].xxh3 for argument, name in schema.constants.items()}
    return replace(schema, error={}, constants={}), constants


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
