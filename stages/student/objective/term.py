"""One term of an objective in a step: outputs and targets are brought together, and the loss gives a number a row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..losses import LOSSES
from ..losses.masking import blank
from ..meeting.facing import Faced, Facing, face
from ..stream.batch import Target
from ..trial.arms import Lesson
from .labels import label_target, reads_labels_alone
from .options import loss_options
from .sample_weight import normalised, sample_weights
from .spec import TermSpec


@dataclass(frozen=True, slots=True)
class Term:
    """A term, checked: how its outputs meet their targets, and its name in histories."""

    name: str
    spec: TermSpec
    facings: tuple[Facing, ...] = ()


@dataclass(frozen=True, slots=True)
class TermModules:
    """What a term trains or keeps: projectors by number of the target, fusion of maps, what its loss is given."""

    projectors: Mapping[int, nn.Module]
    fusion: nn.Module | None = None
    given: nn.Module | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What a term sees in one step. `masks` are inputs and outputs of the student by name; `numbers` those of the
    term's settings that this step has instead; `look`: tokens of both sides are compared, which waits for a device."""

    outputs: Mapping[str, Tensor]
    lesson: Lesson
    masks: Mapping[str, Tensor]
    numbers: Mapping[str, float]
    look: bool


def term_rows(term: Term, modules: TermModules, step: Step) -> Tensor:
    """One number a row, (n,): of the labelled rows for terms that read labels, else of all. Their mean is the term's
    value, so rows without a label count 0 and the others the more."""
    spec, lesson = term.spec, step.lesson
    if reads_labels_alone(spec):
        found = _against_labels(term, step)
    else:
        found = _against_targets(term, modules, step)
    if spec.sample_weight is None:
        return found
    named = spec.sample_weight.signals or spec.targets
    return found * sample_weights(spec.sample_weight, [lesson.signals[name] for name in named], len(found))


def _against_labels(term: Term, step: Step) -> Tensor:
    spec, lesson = term.spec, step.lesson
    output, labels = step.outputs[spec.output][: lesson.labelled], _labels(spec, lesson)
    masked = {} if spec.mask in (None, "none") else {"mask": step.masks[spec.mask or ""][: lesson.labelled] != 0}
    target = label_target(spec, output, labels)
    found = LOSSES[spec.loss].function(output, target, **loss_options(spec, step.numbers), **masked)
    if not LOSSES[spec.loss].labels or labels.ndim > 1:
        return found
    return found * _known(spec, lesson, found.dtype)


def _known(spec: TermSpec, lesson: Lesson, dtype: torch.dtype) -> Tensor:
    """Which labelled rows have a label, (n,), over the share of those that have one: in the whole, where the lesson is
    a part of one."""
    there = (_labels(spec, lesson) >= 0).to(dtype)
    if lesson.whole is None:
        return normalised(there)
    labels = lesson.whole.labels if spec.label is None else lesson.whole.fields[spec.label]
    return normalised(there, (labels >= 0).to(dtype))


def _labels(spec: TermSpec, lesson: Lesson) -> Tensor:
    return (lesson.labels if spec.label is None else lesson.fields[spec.label])[: lesson.labelled]


def _against_targets(term: Term, modules: TermModules, step: Step) -> Tensor:
    spec, loss = term.spec, LOSSES[term.spec.loss]
    faced = _faced(term, modules, step)
    options = loss_options(spec, step.numbers)
    if loss.outputs is not None:
        outputs = _own_outputs(spec, step) if loss.alone else _outputs(term, faced)
        return _several(loss.function, modules, outputs, faced, options)
    (one,) = faced
    output, target = one.output, one.target
    if modules.given is not None:
        options |= modules.given(output, step.lesson.samples)
    if loss.beside_labels:
        return _beside_labels(term, step, output, target, options)
    if loss.blanked:
        return loss.function(blank(output, one.mask), blank(_tensor(target), one.mask), **options)
    if spec.vocabulary is not None and term.facings[0].vocabulary is not None:
        return _over_shared(term, one, options)
    found: Tensor = loss.function(output, target, **options, **_masks(one))
    return found


def _faced(term: Term, modules: TermModules, step: Step) -> list[Faced]:
    """Every target of the term and its output, projected."""
    found = []
    for number, facing in enumerate(term.facings):
        faced = face(facing, step.outputs, step.lesson.signals, step.masks, step.look)
        if number in modules.projectors:
            faced = _projected(term.spec, modules.projectors[number], faced)
        found.append(faced)
    return found


def _projected(spec: TermSpec, projector: nn.Module, faced: Faced) -> Faced:
    """The output at the signal's width; with `pca` the signal at the output's."""
    if spec.projector == "pca":
        return Faced(faced.output, projector(faced.target), faced.mask, faced.target_mask)
    return Faced(projector(faced.output), faced.target, faced.mask, faced.target_mask)


def _outputs(term: Term, faced: Sequence[Faced]) -> list[Tensor]:
    """The outputs of a term of several, each once."""
    return [each.output for each in faced[: len(term.spec.outputs or (term.spec.output,))]]


def _own_outputs(spec: TermSpec, step: Step) -> list[Tensor]:
    return [step.outputs[name] for name in spec.outputs or (spec.output,)]


def _several(
    function: Any, modules: TermModules, outputs: list[Tensor], faced: Sequence[Faced], options: dict[str, Any]
) -> Tensor:
    if modules.fusion is not None:
        outputs = modules.fusion(outputs)
    if modules.given is not None:
        options |= modules.given(outputs, None)
    masks = [each.mask for each in faced if each.mask is not None]
    tokens = {"mask": masks[0]} if masks else {}
    found: Tensor = function(outputs, [each.target for each in faced], **options, **tokens)
    return found


def _beside_labels(term: Term, step: Step, output: Tensor, target: Target, options: dict[str, Any]) -> Tensor:
    """Over the rows that have a label; the others count 0."""
    target = _tensor(target)
    labels, count = _labels(term.spec, step.lesson), step.lesson.labelled
    there = labels >= 0
    found = LOSSES[term.spec.loss].function(output[:count], target[:count], labels.clamp_min(0), **options)
    rows: Tensor = found.where(there, 0.0) * _known(term.spec, step.lesson, found.dtype)
    return rows


def _over_shared(term: Term, faced: Faced, options: dict[str, Any]) -> Tensor:
    """A divergence between the buckets of two vocabularies, which are made at the temperature."""
    shared, temperature = term.facings[0].vocabulary, options.pop("temperature", 1.0)
    assert shared is not None
    output, target = shared.both(faced.output, _tensor(faced.target), temperature)
    found: Tensor = LOSSES[term.spec.loss].function(output, target, **options, **_masks(faced))
    rows: Tensor = temperature**2 * found
    return rows


def _masks(faced: Faced) -> dict[str, Tensor]:
    """The tokens that count, as keywords."""
    masks = {"mask": faced.mask, "target_mask": faced.target_mask}
    return {name: mask for name, mask in masks.items() if mask is not None}


def row_mean(rows: Tensor) -> Tensor:
    """The mean of (n,) numbers, 0 of none: an arm may see no row of a batch."""
    return rows.mean() if len(rows) else rows.sum()


def _tensor(target: Target) -> Tensor:
    """A target that the check has let through to a loss that needs it dense."""
    assert isinstance(target, Tensor)
    return target
