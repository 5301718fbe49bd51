"""One batch of the stream, on the device: what every trial of the fleet takes its step on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from ....cache import HeadLogits, SampledTargets, SparseLogits, TokenLogits
from ....cache.codecs import Ragged
from ..inputs.columns import Column, SharedInputs
from ..inputs.spec import InputSource
from ..trial.lane import main_stream

Target = Tensor | Ragged | SparseLogits | SampledTargets | HeadLogits | TokenLogits  # a signal as a loss sees it


@dataclass(frozen=True, slots=True)
class WholeBatch:
    """The batch of which this process has one part: `rows` (B,) and `labelled` of all of it, the `places` in it (n,)
    int64, ascending, of the part, and every row's `labels` and `fields`."""

    rows: np.ndarray
    labelled: int
    places: np.ndarray
    labels: Tensor
    fields: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batch:
    """B rows joined to their signals.

    `rows` (B,) int64 row numbers of the cache; `views` uint8 (B, H, W, C) canonical views, None when no student
    sees images; `labels` int64 (B,), -1 for
    none; rows [0:labelled] are the labelled ones; `signals` decoded targets by name; `shuffled` the same signals of
    other samples, empty when no trial is a shuffled control. `find_ids` says whose the rows are. `columns` are what
    students see beside images, by what they are made of; `fields` the label fields that terms read, (B, ...), int64 or
    float32, of which rows [0:labelled] count. `samples` and `partners` (B,) int64 are the numbers of the samples whose
    `signals` and `shuffled` these are. `whole` is there where other processes have the other rows of the batch.
    """

    step: int
    rows: np.ndarray
    views: Tensor | None
    labels: Tensor
    labelled: int
    signals: Mapping[str, Target]
    shuffled: Mapping[str, Target]
    find_ids: Callable[[np.ndarray], np.ndarray]
    columns: Mapping[InputSource, Column] = field(default_factory=dict)
    fields: Mapping[str, Tensor] = field(default_factory=dict)
    samples: Tensor | None = None
    partners: Tensor | None = None
    whole: WholeBatch | None = None

    @property
    def ids(self) -> np.ndarray:
        """Sample ids, (B,) str: looked up when asked for, because training never asks."""
        return self.find_ids(self.rows)

    def shared(self) -> SharedInputs:
        """The inputs of all students. Called on the stream that made the batch."""
        return SharedInputs(self.views, self.columns, self.rows, self.step, main_stream(self.labels.device))
