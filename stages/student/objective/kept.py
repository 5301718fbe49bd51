"""What terms read of a cache once, beside signals: a teacher's scale, its head, main directions, a bank of rows."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ....cache import Cache, CacheError, SignalSchema
from ...errors import StageError


class Kept(Protocol):
    """What an objective may ask of a cache when it is built."""

    @property
    def samples(self) -> int:
        """Samples of the cache."""

    def constant(self, name: str) -> np.ndarray | None:
        """What is kept once under this name; None where there is no such constant."""

    def bank(self, signal: str, rows: int, seed: int) -> tuple[Tensor, Tensor]:
        """The plain view of `rows` random samples: a dense signal (n, ...) float32, and the samples' numbers (n,)."""


class KeptOfCache:
    """`Kept` of a cache."""

    def __init__(self, cache: Cache) -> None:
        self._cache, self._views = cache, cache.manifest.views

    @property
    def samples(self) -> int:
        return self._cache.rows // self._views

    def constant(self, name: str) -> np.ndarray | None:
        if not any(name in member.manifest.constants for member in self._cache.members):
            return None
        return self._cache.constant(name)

    def bank(self, signal: str, rows: int, seed: int) -> tuple[Tensor, Tensor]:
        draw = np.random.default_rng(seed)
        chosen = np.sort(draw.choice(self.samples, min(rows, self.samples), replace=False))
        values = self._cache.read(chosen * self._views, [signal]).signals[signal]
        if not isinstance(values, np.ndarray):
            raise CacheError(f"signal {signal!r} is not dense, and a bank needs vectors")
        return torch.from_numpy(np.array(values, np.float32)), torch.from_numpy(chosen)


def signal_constants(schema: SignalSchema, kept: Kept | None, what: str, advice: str) -> Mapping[str, np.ndarray]:
    """The constants of a signal by argument of its codec, such as weight and bias. StageError with `advice` without."""
    found = {argument: None if kept is None else kept.constant(name) for argument, name in schema.constants.items()}
    there = {argument: values for argument, values in found.items() if values is not None}
    if not there or len(there) < len(found):
        raise StageError(f"the cache keeps no {what} of signal {schema.name!r}; {advice}")
    return there


def teacher_scale(kept: Kept | None) -> float:
    """exp(logit_scale) of the teacher. Raises StageError where the cache keeps none."""
    found = None if kept is None else kept.constant("logit_scale")
    if found is None:
        raise StageError("the cache keeps no logit_scale of its teacher; give a number as scale and target_scale")
    return float(np.exp(np.asarray(found, np.float64).reshape(-1)[0]))
