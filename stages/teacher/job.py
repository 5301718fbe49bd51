"""What one run of phase one is asked to do, and the fingerprint of its answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ...cache.codecs import build_codec
from ...cache.format.schema import SignalSchema
from ...cache.spec import SignalSpec
from ...data import Source, ViewPolicy
from ..cache_identity import PIXELS, cache_fingerprint, codec_parameters
from ..errors import StageError
from .spec import TeacherSpec
from .weights import teacher_fingerprint, teacher_folder


@dataclass(frozen=True)
class CacheJob:
    """A source, its views, a teacher, the signals to keep, and where."""

    root: Path
    source: Source
    policy: ViewPolicy
    keep_pixels: bool
    teacher: TeacherSpec
    signals: Mapping[str, SignalSpec]
    block: int

    @cached_property
    def folder(self) -> Path:
        """The teacher's folder."""
        return teacher_folder(self.teacher)

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """Decides whether a cache is the one this job makes; hashes the teacher's files, loads nothing."""
        return {
            "teacher": teacher_fingerprint(self.teacher, self.folder),
            **cache_fingerprint(self.source, self.policy, self.keep_pixels, self.signals, self.block),
        }

    def schemas(self, heard: Mapping[str, torch.Tensor]) -> dict[str, SignalSchema]:
        """Schemas of the signals from one heard batch. Raises StageError naming a signal its codec cannot hold."""
        if PIXELS in self.signals:
            raise StageError(f"cache.signals.{PIXELS}: this name is kept for views.keep_pixels")
        found = {}
        for name, spec in self.signals.items():
            codec = build_codec(spec.codec, codec_parameters(spec))
            shape = tuple(heard[name].shape[1:])
            found[name] = SignalSchema(name, codec.name, codec.parameters, shape, spec.point or name, spec.reduce)
            found[name].parts()
        if self.keep_pixels:
            side = (self.policy.size, self.policy.size, self.policy.channels)
            found[PIXELS] = SignalSchema(PIXELS, "u8", {}, side, "view")
        return found
