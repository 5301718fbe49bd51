"""A term from its settings: checked against student and cache, with the modules that it trains or keeps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ....cache import CacheError, SignalSchema
from ...errors import StageError
from ..inputs.labels import LabelShape
from ..losses import LOSSES
from ..meeting.facing import Facing, Shape
from ..meeting.meeting import dense_alone, meet
from ..meeting.student_side import StudentSide
from ..mismatch.fusion import ReviewFusion
from ..mismatch.principal import principal_axes
from ..mismatch.width import build_projector
from ..trial.randomness import derive_seed
from .companions import Bank, Head, LearntScale
from .kept import Kept, signal_constants, teacher_scale
from .labels import check_label_term, reads_labels_alone
from .options import check_options, loss_options
from .spec import TermSpec
from .term import Term, TermModules
from .weighing import check_sample_weight

_CONTRAST = 1 / 0.07  # CRD's 1 / temperature


@dataclass(frozen=True, slots=True)
class Ground:
    """What terms are checked against: the student, the cache's signals, classes (0: none), label fields (None: not
    known) and what the cache keeps once."""

    student: StudentSide
    signals: Mapping[str, SignalSchema]
    classes: int
    fields: Mapping[str, LabelShape] | None = None
    kept: Kept | None = None


def build_term(spec: TermSpec, place: str, ground: Ground, name: str, seed: int) -> tuple[Term, TermModules]:
    """A checked term and its modules, whose weights depend on `seed` alone. Raises StageError, naming `place`."""
    check_options(spec, place)
    check_sample_weight(spec, place, ground.signals)
    if reads_labels_alone(spec):
        output = ground.student.shape(spec.output, place)
        check_label_term(spec, place, output, ground.classes, ground.fields)
        return Term(name, spec), TermModules({})
    if LOSSES[spec.loss].alone:
        _check_alone(spec, place, ground)
        return Term(name, spec), TermModules({}, given=_learnt(spec))
    facings = meet(spec, place, ground.student, ground.signals)
    _check_classes(spec, place, facings, ground)
    try:
        modules = _modules(spec, facings, ground, seed)
        spec = _with_scale(spec, ground)
    except (StageError, CacheError) as error:
        raise StageError(f"{place}: {error}") from error
    if dense_alone(facings, ground.signals):
        _try(spec, place, facings, modules)
    return Term(name, spec, facings), modules


def _check_alone(spec: TermSpec, place: str, ground: Ground) -> None:
    if spec.targets or spec.label or spec.target_output:
        raise StageError(f"{place}: {spec.loss} compares two outputs of the student and reads no signal or label")
    names = spec.outputs or (spec.output,)
    shapes = [ground.student.shape(name, place) for name in names]
    if len(names) != 2 or len(shapes[0]) != 1 or shapes[0] != shapes[1]:
        raise StageError(f"{place}: {spec.loss} takes outputs: [image, text], two vectors of one width; not {shapes}")
    if spec.scale == "teacher":
        raise StageError(f"{place}: the scale of the student's own outputs is a number, or learnt")


def _check_classes(spec: TermSpec, place: str, facings: Sequence[Facing], ground: Ground) -> None:
    width = facings[0].shapes[0]
    if LOSSES[spec.loss].beside_labels and width != (ground.classes,) and (spec.label is None or len(width) != 1):
        raise StageError(f"{place}: output {spec.output!r} is {width}, and there are {ground.classes} classes")
    if spec.label is not None and not LOSSES[spec.loss].beside_labels:
        raise StageError(f"{place}: {spec.loss} takes no label")


def _modules(spec: TermSpec, facings: Sequence[Facing], ground: Ground, seed: int) -> TermModules:
    loss = LOSSES[spec.loss]
    head = _head(facings[0], ground) if loss.kept == "head" else None
    if spec.loss == "review":
        return TermModules({}, fusion=_fusion(facings, seed))
    seeds = [seed, *(derive_seed("side", seed, number) for number in range(1, len(facings)))]
    sides = enumerate(zip(facings, seeds, strict=True)) if spec.projector is not None else ()
    projectors = {number: _projector(spec, facing, ground, head, each) for number, (facing, each) in sides}
    bank = _bank(spec, facings[0], ground, seed) if loss.kept == "bank" else None
    return TermModules(projectors, given=bank or head or _learnt(spec))


def _projector(spec: TermSpec, facing: Facing, ground: Ground, head: Head | None, seed: int) -> nn.Module:
    output, signal = facing.shapes
    if spec.projector == "pca":
        schema = ground.signals[facing.signal or ""] if facing.signal else SignalSchema("", "f32", {}, signal)
        how = "`teachercache cache recode` makes it with codec pca"
        kept = signal_constants(schema, ground.kept, "main directions", how) if schema.codec == "pca" else None
        if kept is None or len(signal) == 3:
            raise StageError(f"projector: pca needs a signal of codec pca; {how}")
        return principal_axes(kept["mean"], kept["basis"], output[-1])
    assert spec.projector is not None
    return build_projector(spec.projector, output, signal if head is None else (head.weight.shape[1],), seed)


def _head(facing: Facing, ground: Ground) -> Head:
    """The teacher's last layer, of logits that the cache keeps as what enters it."""
    schema = ground.signals.get(facing.signal or "")
    how = "keep the teacher's logits with codec head"
    if schema is None or schema.codec != "head":
        raise StageError(f"srrl needs the teacher's last layer; {how}")
    kept = signal_constants(schema, ground.kept, "head", how)
    return Head(torch.from_numpy(kept["weight"].copy()), torch.from_numpy(kept["bias"].copy()))


def _bank(spec: TermSpec, facing: Facing, ground: Ground, seed: int) -> Bank:
    if ground.kept is None or spec.bank is None:
        raise StageError("crd needs the rows of a cache")
    values, numbers = ground.kept.bank(facing.signal or "", spec.bank, derive_seed("bank", seed) % (1 << 63))
    scale = spec.scale if isinstance(spec.scale, float) else _CONTRAST
    return Bank(values, numbers, ground.kept.samples, scale)


def _fusion(facings: Sequence[Facing], seed: int) -> ReviewFusion:
    shapes = [facing.shapes for facing in facings]
    if any(len(shape) != 3 for pair in shapes for shape in pair):
        raise StageError(f"review fuses feature maps (C, h, w); they are {shapes}")
    maps = [[(shape[0], shape[1], shape[2]) for shape in side] for side in zip(*shapes, strict=True)]
    middle = min(256, max(shape[0] for shape in maps[1]))
    return ReviewFusion(maps[0], maps[1], middle=middle, seed=seed)


def _learnt(spec: TermSpec) -> LearntScale | None:
    return LearntScale() if spec.scale == "learnt" else None


def _with_scale(spec: TermSpec, ground: Ground) -> TermSpec:
    """The term with its teacher's scale as a number, where it is asked for."""
    found: dict[str, float] = {}
    if spec.loss == "clip_affinity" and spec.target_scale is None:
        found["target_scale"] = teacher_scale(ground.kept)
    if spec.scale == "teacher" or (spec.loss == "clip_affinity" and spec.scale is None):
        found["scale"] = spec.target_scale or teacher_scale(ground.kept)
    return spec.model_copy(update=found)


def _try(spec: TermSpec, place: str, facings: Sequence[Facing], modules: TermModules) -> None:
    """The loss itself, on two rows of zeros: what it refuses, it refuses now."""
    loss, options = LOSSES[spec.loss], loss_options(spec)
    if loss.kept == "bank":
        return
    shapes = [_seen(spec, modules, facing) for facing in facings]
    outputs, targets = ([torch.zeros(2, *pair[side]) for pair in shapes] for side in (0, 1))
    if isinstance(modules.given, Head):
        outputs, options = [torch.zeros(2, modules.given.weight.shape[1])], options | modules.given(None, None)
    labels = [torch.zeros(2, dtype=torch.int64)] if loss.beside_labels else []
    lists = (outputs[: len(spec.outputs or (spec.output,))], targets)
    try:
        with torch.no_grad():
            given = (outputs[0], targets[0], *labels) if loss.outputs is None else lists
            found = loss.function(*given, **options)
    except StageError as error:
        raise StageError(f"{place}: {error}") from error
    if tuple(found.shape) != (2,):
        raise StageError(f"{place}: {spec.loss} gives no one number for a row of output {facings[0].shapes[0]}")


def _seen(spec: TermSpec, modules: TermModules, facing: Facing) -> tuple[Shape, Shape]:
    """Shapes as the loss gets them: behind projector or fusion both are the signal's, with pca the output's."""
    output, signal = facing.shapes
    if spec.projector == "pca":
        return output, output
    return (signal if spec.projector is not None or modules.fusion is not None else output), signal
