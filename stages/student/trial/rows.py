"""Some rows of a lesson and of a student's inputs: what a selection leaves, and what a micro-batch holds.

Rows keep their order, so the labelled ones stay in front.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from torch import Tensor

from ....cache import HeadLogits, TokenLogits
from ....cache.codecs import Ragged
from ....cache.codecs.logits.token_logits import taken
from ..stream.batch import Target, WholeBatch
from .arms import Lesson, Whole


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


def selected_rows(lesson: Lesson, places: np.ndarray, batch: WholeBatch | None) -> tuple[Lesson, Tensor]:
    """The lesson without the rows that a selection leaves out, and which of its rows stay, (n,) int64. `places` are
    those of the lesson, or of the whole that it is a part of."""
    device = lesson.labels.device
    if batch is None or lesson.whole is None:
        chosen = torch.from_numpy(places).to(device)
        return lesson_rows(lesson, chosen), chosen
    own = np.flatnonzero(np.isin(batch.places[: lesson.rows], places))
    there = torch.from_numpy(places[places < len(lesson.whole.labels)]).to(device)
    fields = {name: values[there] for name, values in lesson.whole.fields.items()}
    chosen = torch.from_numpy(own).to(device)
    whole = Whole(len(places), lesson.whole.labels[there], fields)
    return replace(lesson_rows(lesson, chosen), whole=whole), chosen


def as_parts(lesson: Lesson) -> Lesson:
    """The same for parts to be taken of: each then knows of what it is one."""
    if lesson.whole is not None:
        return lesson
    count = lesson.labelled
    fields = {name: values[:count] for name, values in lesson.fields.items()}
    return replace(lesson, whole=Whole(lesson.rows, lesson.labels[:count], fields))


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
    if isinstance(target, TokenLogits):
        return TokenLogits(taken(target.targets, _tokens_of(target.lengths, chosen)), target.lengths[chosen])
    return taken(target, chosen)


def _tokens_of(lengths: Tensor, chosen: Tensor) -> Tensor:
    """The places of the tokens of some rows among those of all, which lie one after another."""
    first, counts = lengths.cumsum(0) - lengths, lengths[chosen]
    before = counts.cumsum(0) - counts
    step = torch.arange(int(counts.sum()), device=lengths.device)
    return torch.repeat_interleave(first[chosen] - before, counts) + step
