"""Runs every candidate over the held-out samples: one read, one copy, one preparation of inputs for all of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import Interrupted, StageError
from ...student.inputs.spec import asked_sources
from ..metrics import zero_shot
from ..metrics.kinds import columns_of, join_columns
from ..metrics.measured import Columns
from ..metrics.metric_spec import ClassificationSpec, MetricSpec
from .candidate import Candidate, load_model
from .giving import Giver, giver
from .held_out import HeldOut, HeldOutBatch
from .held_out_sets import HeldOutSets, judged_outputs
from .judgement import Said

Progress = Callable[[int, int], None]  # samples done, samples to do
Keep = Callable[[Mapping[str, Tensor], HeldOutBatch], dict[int, Columns]]


def predict(
    candidates: Sequence[Candidate],
    held_out: HeldOutSets,
    batch_size: int,
    device: torch.device,
    progress: Progress,
    stop: Callable[[], bool],
) -> list[Said]:
    """What each candidate says of every set, in float32 without autocast.

    Raises StageError for a student that does not fit a held-out cache, Interrupted once `stop` says so.
    """
    for candidate in candidates:
        _check_classes(candidate, held_out.main)
    outputs = judged_outputs(held_out.metrics)
    walk = _Walk(
        candidates,
        [load_model(candidate, device, outputs) for candidate in candidates],
        device,
        batch_size,
        progress,
        stop,
        sum(map(len, [*held_out.sets.values(), *held_out.prompts.values()])),
    )
    sets = {name: walk.over(one, _keeping(one.metrics)) for name, one in held_out.sets.items()}
    prompts = {
        name: walk.over(one, _prompts(held_out, name), held_out.reading(name).text)
        for name, one in held_out.prompts.items()
    }
    return [
        Said({name: found[i] for name, found in sets.items()}, {name: found[i][0] for name, found in prompts.items()})
        for i in range(len(candidates))
    ]


def _keeping(metrics: Sequence[MetricSpec]) -> Keep:
    return lambda said, batch: {number: columns_of(metric, said, batch) for number, metric in enumerate(metrics)}


def _prompts(held_out: HeldOutSets, name: str) -> Keep:
    metric = held_out.reading(name)
    return lambda said, batch: {0: zero_shot.prompt_columns(metric, said, batch)}


class _Walk:
    """Models side by side over one set after the other; how far it is counts over all of them."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        models: Sequence[nn.Module],
        device: torch.device,
        batch_size: int,
        progress: Progress,
        stop: Callable[[], bool],
        total: int,
    ) -> None:
        self._pairs, self._device, self._size = list(zip(candidates, models, strict=True)), device, batch_size
        self._progress, self._stop, self._done, self._total = progress, stop, 0, total

    def over(self, held_out: HeldOut, keep: Keep, text: str | None = None) -> list[dict[int, Columns]]:
        """Of each model the columns of every metric. With `text` the set has texts alone, read by this output."""
        pieces: list[list[dict[int, Columns]]] = [[] for _ in self._pairs]
        givers = [giver(candidate, held_out, self._device, text is not None) for candidate, _ in self._pairs]
        feed = held_out.feed(asked_sources((one.name, one.takes) for one in givers))
        for (candidate, _), one in zip(self._pairs, givers, strict=True):
            feed.require(one.takes, candidate.saved.shape.inputs, str(candidate.folder))
        for batch in held_out.batches(self._size):
            if self._stop():
                raise Interrupted(
                    f"stopped with {self._done} of {self._total} held-out samples read; the same command begins again"
                )
            shared = held_out.inputs(feed, batch, self._device)
            for (candidate, model), one, found in zip(self._pairs, givers, pieces, strict=True):
                said = _answer(candidate, model, one.inputs(shared, len(batch.rows)))
                if text is not None and one.lacking:
                    _check_blanks(said, _answer(candidate, model, one.inputs(shared, len(batch.rows), 1.0)), text, one)
                found.append(keep(said, batch))
            self._done += len(batch.rows)
            self._progress(self._done, self._total)
        return [{number: join_columns([one[number] for one in found]) for number in found[0]} for found in pieces]


class _Outputs(dict[str, Any]):
    """Outputs by name; one that is not there is an error that names the student."""

    def __init__(self, outputs: Mapping[str, Tensor], candidate: Candidate) -> None:
        super().__init__(outputs)
        self._candidate = candidate

    def __missing__(self, name: str) -> Tensor:
        raise StageError(
            f"{self._candidate.folder}: this student has no output {name!r}, which evaluate.metrics names; its outputs "
            f"are {', '.join(self)}"
        )


def _answer(candidate: Candidate, model: nn.Module, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    with torch.inference_mode():
        return _Outputs(model(inputs), candidate)


def _check_blanks(said: Mapping[str, Tensor], again: Mapping[str, Tensor], text: str, one: Giver) -> None:
    """What a student says of a text must not hang on the blanks that stand for its other inputs."""
    if not torch.allclose(said[text], again[text], rtol=1e-3, atol=1e-5):
        raise StageError(
            f"students.{one.name}: output {text!r} hangs on {', '.join(one.lacking)}, which prompts do not have; "
            "evaluate it without `prompts`, so that the texts of the held-out samples stand for classes"
        )


def _check_classes(candidate: Candidate, held_out: HeldOut) -> None:
    classes, metrics = candidate.saved.shape.classes, held_out.metrics
    by_number = any(
        isinstance(one, ClassificationSpec) and one.label is None and one.signal and one.output == "logits"
        for one in metrics
    )
    if by_number and classes != held_out.classes:
        raise StageError(
            f"{candidate.folder}: this student tells {classes} classes apart, and the teacher's logits in "
            f"{held_out.cache.url} are {held_out.classes}; evaluate it on held-out samples of the teacher that it "
            "learnt from, or delete its folder to train it anew"
        )
