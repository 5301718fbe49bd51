"""The cache that a configuration asks for, part by part: what each directory of it must have been built from."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..cache import Rectangle
from ..cache.spec import SignalSpec
from ..data import Source, ViewPolicy
from .cache_identity import PIXELS, cache_fingerprint


@dataclass(frozen=True)
class AskedCache:
    """`teacher` is its fingerprint, None when nobody looks at the teacher: then it is not compared."""

    source: Source
    policy: ViewPolicy
    keep_pixels: bool
    signals: Mapping[str, SignalSpec]
    block: int
    teacher: Mapping[str, Any] | None = None

    @cached_property
    def rectangle(self) -> Rectangle:
        """All shards, all views, all signals."""
        names = (*self.signals, PIXELS) if self.keep_pixels else tuple(self.signals)
        return Rectangle(tuple(self.source.shards()), self.policy.first, self.policy.count, names)

    def fingerprint(self, part: Rectangle) -> dict[str, Any]:
        """What a cache of `part` alone is known by. The teacher is left out of a part without signals of a teacher.

        Raises DataError when the source cannot give those shards alone.
        """
        signals = {name: spec for name, spec in self.signals.items() if name in part.signals}
        policy = ViewPolicy(self.policy.spec.model_copy(update={"count": part.count}), part.first)
        source = self.source.restricted(part.shards)
        found = cache_fingerprint(source, policy, PIXELS in part.signals, signals, self.block)
        return {**({"teacher": dict(self.teacher)} if self.teacher is not None and signals else {}), **found}
