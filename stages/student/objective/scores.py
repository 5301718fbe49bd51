"""How sure the teacher was of each sample of a cache: what selections and curricula rank by."""

from typing import cast

import numpy as np
import torch

from ....cache import Cache, HeadLogits
from ..stream.batch import Target
from .sample_weight import sureness
from .spec import SampleWeightSpec

_ROWS = 4096  # decoded at once


def sample_scores(cache: Cache, measure: SampleWeightSpec) -> np.ndarray:
    """(samples,) float64, higher is surer, of the plain view of each sample. Raises StageError for signals that do not
    say it, CacheError for those that are not there."""
    assert measure.signals is not None, "a selection names its signals"
    samples, views = cache.rows // cache.manifest.views, cache.manifest.views
    found = [np.zeros(0)]
    for start in range(0, samples, _ROWS):
        rows = np.arange(start, min(start + _ROWS, samples)) * views
        targets = [_decoded(cache, name, rows) for name in measure.signals]
        found.append(sureness(measure, targets).double().numpy())
    return np.concatenate(found)


def _decoded(cache: Cache, name: str, rows: np.ndarray) -> Target:
    parts = {part: torch.from_numpy(values) for part, values in cache.encoded(name, rows).items()}
    decoded = cache.codec(name).decode(parts, cache.manifest.signals[name].shape)
    return cast(Target, decoded.logits() if isinstance(decoded, HeadLogits) else decoded)
