"""What one run of phase one is asked to do, and the fingerprint of its answer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ...cache import Rectangle
from ...cache.format.schema import SignalSchema
from ...cache.grid.extension import extension_folder
from ...cache.opening import cache_exists
from ...cache.spec import SignalSpec
from ...cache.storage.address import Address, open_store
from ...data import Source, ViewPolicy
from ..asked_cache import AskedCache
from ..cache_identity import PIXELS, cache_fingerprint, signal_fingerprint
from ..errors import StageError
from ..gpu_sharing.share import MemoryShare
from .families.family import find_folder, identify
from .privacy.key import secret_key
from .privacy.release import private_signals, veiled_identity
from .signals.signal_schema import Heard, signal_schema
from .spec import TeacherSpec


@dataclass(frozen=True)
class CacheJob:
    """A source, its views, a teacher, the signals to keep, and where: in the cache at `root`, or in the extension of it
    that `extension` names."""

    root: Address
    source: Source
    policy: ViewPolicy
    keep_pixels: bool
    teacher: TeacherSpec
    signals: Mapping[str, SignalSpec]
    block: int
    extension: str = ""
    share: MemoryShare | None = None  # of a GPU's memory; no part of what is computed
    key: Path | None = None  # where the secret key of private signals lies

    @property
    def address(self) -> str:
        """Where this job's own manifest and shards are."""
        store = open_store(self.root)
        return (store.below(extension_folder(self.extension)) if self.extension else store).url

    @cached_property
    def asked(self) -> AskedCache:
        """What the whole cache must be."""
        return AskedCache(self.source, self.policy, self.keep_pixels, self.signals, self.block, self.teacher_identity)

    def restricted(self, part: Rectangle, extension: str) -> "CacheJob":
        """The job of one part of the cache, in the extension of that name ("" for the base)."""
        if extension and private_signals(self.signals):
            raise StageError(
                f"cache.signals: {open_store(self.root).url} is private, and its epsilon is of the rows that it was "
                "begun with: it is not extended. Build another cache; what both say of the client adds up"
            )
        job = replace(
            self,
            source=self.source.restricted(part.shards),
            policy=self.policy.range(part.first, part.count),
            signals={name: spec for name, spec in self.signals.items() if name in part.signals},
            keep_pixels=PIXELS in part.signals,
            extension=extension,
        )
        job.__dict__["teacher_identity"] = self.teacher_identity  # its files are hashed once
        return job

    @cached_property
    def folder(self) -> Path:
        """The teacher's folder."""
        return find_folder(self.teacher)

    @cached_property
    def teacher_identity(self) -> dict[str, Any]:
        """The teacher's part of the fingerprint; hashes its files, loads nothing. Where signals are private, only the
        holder of the key can tell which teacher it is."""
        found, private = identify(self.teacher, self.folder), private_signals(self.signals)
        return veiled_identity(found, private, self.secret_key) if private else found

    @cached_property
    def secret_key(self) -> bytes:
        """Of private signals; made with the cache. Raises StageError when it is gone."""
        if self.key is None:
            raise StageError("cache.signals: private signals need a place for their secret key")
        return secret_key(self.key, cache_exists(self.root))

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """Decides whether a cache is the one this job makes."""
        return {
            "teacher": self.teacher_identity,
            **cache_fingerprint(self.source, self.policy, self.keep_pixels, self.signals, self.block),
        }

    def schemas(self, heard: Mapping[str, Heard], longest: int | None = None) -> dict[str, SignalSchema]:
        """Schemas of the signals from one heard batch; `longest` is the most tokens that a row may have, where rows
        differ. Raises StageError naming a signal its codec cannot hold."""
        if PIXELS in self.signals:
            raise StageError(f"cache.signals.{PIXELS}: this name is kept for views.keep_pixels")
        _refuse_twins(self.signals)
        found = {name: signal_schema(name, spec, heard[name], longest) for name, spec in self.signals.items()}
        if self.keep_pixels:
            side = (self.policy.size, self.policy.size, self.policy.channels)
            found[PIXELS] = SignalSchema(PIXELS, "u8", {}, side, "view")
        return found


def _refuse_twins(signals: Mapping[str, SignalSpec]) -> None:
    """Two signals that keep the same in the same way are a slip of the hand."""
    seen: dict[str, str] = {}
    for name, spec in signals.items():
        kept = json.dumps(signal_fingerprint(name, spec), sort_keys=True)
        if kept in seen:
            raise StageError(
                f"cache.signals.{name}: it is heard and kept as {seen[kept]} is already: leave out one of them"
            )
        seen[kept] = name
