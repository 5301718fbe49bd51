"""Some rows of a lesson and of a student's inputs: what a selection leaves, and what a micro-batch holds.

Rows keep their order, so the labelled ones stay in front.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from ....cache import HeadLogits, SampledTargets, SparseLogits
from ....cache.codecs import Ragged
from ..stream.batch import Target
from .arms import Lesson


def lesson_rows(lesson: Lesson, chosen: Tensor) -> Lesson:
    """The rows `chosen` (n,) int64, ascending, of a lesson."""
    labelled = int((chosen < lesson.labelled).sum())
    return replace(
        lesson,
        rows=len(chosen),
        labels=lesson.labels[chosen],
        labelled=labelled,
        signals={name: target_rows(target, chosen) for name, target in lesson.signals.items()},
        fields={name: values[chosen] for name, values in lesson.fields.items()},
        samples=None if lesson.samples is None else lesson.samples[chosen],
    )


def input_rows(inputs: Mapping[str, Tensor], chosen: Tensor) -> dict[str, Tensor]:
    """The same rows of what a student is given."""
    return {name: values[chosen] for name, values in inputs.items()}


def micro_batches(rows: int, size: int | None, device: torch.device) -> Iterator[Tensor | None]:
    """The rows of each micro-batch of at most `size` rows, of as equal sizes as can be; one None when all fit."""
    if size is None or rows <= size:
        yield None
        return
    count = -(-rows // size)
    for part in range(count):
        yield torch.arange(part * rows // count, (part + 1) * rows // count, device=device)


def target_rows(target: Target, chosen: Tensor) -> Target:
    """The same rows of a decoded signal, whatever its form. What a signal keeps once (a head) stays whole."""
    if isinstance(target, Tensor):
        return target[chosen]
    if isinstance(target, Ragged):
        return cast(Target, replace(target, values=target.values[chosen], lengths=target.lengths[chosen]))
    if isinstance(target, HeadLogits):
        return replace(target, hidden=target.hidden[chosen])
    if isinstance(target, SparseLogits):
        kept = {t: values[chosen] for t, values in target.tails.items()}
        ids, values = target.ids[chosen], target.values[chosen]
        return replace(target, ids=ids, values=values, tails=kept, entropy=_some(target.entropy, chosen))
    assert isinstance(target, SampledTargets)
    weights = {t: values[chosen] for t, values in target.weights.items()}
    return replace(target, ids=target.ids[chosen], weights=weights, entropy=_some(target.entropy, chosen))


def _some(values: Tensor | None, chosen: Tensor) -> Tensor | None:
    return None if values is None else values[chosen]
