"""The seam between trials and what feeds them: batches by number, and what is known of them before the first."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from ....cache import SignalSchema
from ..inputs.labels import LabelShape
from ..inputs.shape import InputShape
from ..inputs.spec import InputSource
from ..objective.kept import Kept
from ..objective.spec import SampleWeightSpec
from .batch import Batch


class BatchStream(Protocol):
    """What a fleet needs of a stream. Batch t is the same whenever it is asked for."""

    @property
    def signals(self) -> Mapping[str, SignalSchema]: ...

    @property
    def cache_fingerprint(self) -> Mapping[str, Any]: ...

    def input_shapes(self, takes: Mapping[str, InputSource]) -> Mapping[str, InputShape]:
        """How the texts and arrays among a student's inputs look, with their masks and lengths."""

    @property
    def fields(self) -> Mapping[str, LabelShape]:
        """How the label fields look that terms read."""

    @property
    def kept(self) -> Kept | None:
        """What its cache keeps once, where it has one."""

    @property
    def samples(self) -> int:
        """Samples of the cache."""

    @property
    def views(self) -> int:
        """Views of a sample: rows v, v + views, ... of the cache are view v."""

    def sureness(self, measure: SampleWeightSpec) -> np.ndarray:
        """(samples,) how sure the teacher was of each sample's plain view, higher is surer."""

    def require_labels(self) -> None:
        """Raise StageError when a labelled row of some batch would have no label."""

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """Batches start, start + 1, ..., stop - 1."""
