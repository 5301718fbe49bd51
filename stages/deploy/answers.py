"""Runs every candidate over the held-out samples: one read, one copy, one preparation of inputs for all of them."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..errors import Interrupted, StageError
from ..student.inputs.shared import SharedInputs
from .candidate import Candidate, load_model
from .held_out import HeldOut
from .predictions import Predictions, join_predictions, student_predictions

Progress = Callable[[int, int], None]  # samples done, samples to do


def predict(
    candidates: Sequence[Candidate],
    held_out: HeldOut,
    batch_size: int,
    device: torch.device,
    progress: Progress,
    stop: Callable[[], bool],
) -> list[Predictions]:
    """Predictions of each candidate, in float32 without autocast.

    Raises StageError for a student that does not fit the held-out cache, Interrupted once `stop` says so.
    """
    for candidate in candidates:
        _check_classes(candidate, held_out)
    models = [load_model(candidate, device) for candidate in candidates]
    pieces: list[list[Predictions]] = [[] for _ in candidates]
    done = 0
    for batch in held_out.batches(batch_size):
        if stop():
            raise Interrupted(
                f"stopped with {done} of {len(held_out)} held-out samples read; the same command begins again"
            )
        views = held_out.views(batch)
        shared = SharedInputs(views.to(device))
        for candidate, model, found in zip(candidates, models, pieces, strict=True):
            _check_views(candidate, views)
            logits = _answer(candidate, model, shared, len(batch.rows))
            found.append(student_predictions(batch.ids, batch.labels, logits, batch.teacher))
        done += len(batch.rows)
        progress(done, len(held_out))
    return [join_predictions(found) for found in pieces]


def _answer(candidate: Candidate, model: nn.Module, shared: SharedInputs, rows: int) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = model(shared.inputs(candidate.saved.student.takes, rows))["logits"]
    return logits


def _check_classes(candidate: Candidate, held_out: HeldOut) -> None:
    classes = candidate.saved.shape.classes
    if classes != held_out.classes:
        raise StageError(
            f"{candidate.folder}: this student tells {classes} classes apart, and the teacher's logits in "
            f"{held_out.cache.url} are {held_out.classes}; evaluate it on held-out samples of the teacher that it "
            "learnt from, or delete its folder to train it anew"
        )


def _check_views(candidate: Candidate, views: Tensor) -> None:
    shape = candidate.saved.shape
    learnt, seen = (shape.size, shape.size, shape.channels), tuple(views.shape[1:])
    if seen != learnt:
        raise StageError(
            f"{candidate.folder}: this student was trained on views of shape {learnt}, and the held-out views are "
            f"{seen}; evaluate it with the `views` that it was trained with"
        )
