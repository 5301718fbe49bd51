"""Every well-known point of a teacher, with the shape and the bytes of a row: what a person chooses signals from.

Of a module of the user's own every module in it. The teacher is loaded once for each kind of point, because a kind that
it lacks is found by asking for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ...cache import SignalSchema
from ...cache.spec import SignalSpec
from ..capture import parse_point
from ..device import pick_device
from ..errors import StageError
from .families.family import family_of, open_teacher, teacher_inputs
from .inputs.loader import PreparedPieces
from .job import CacheJob
from .known_points import point_groups
from .signals.signal_schema import signal_schema

_MANY = 64  # classes from which on few of them say enough


@dataclass(frozen=True, slots=True)
class DescribedPoint:
    """A point: `shape` of one row, of the longest where rows differ in length (`ragged`), its bytes as f16, and those
    in the codec that one would choose first."""

    point: str
    shape: tuple[int, ...]
    ragged: bool
    f16: int
    codec: str
    bytes: int


@dataclass(frozen=True, slots=True)
class DescribedTeacher:
    """What a teacher is, and its points."""

    family: str
    facts: Mapping[str, Any]
    points: tuple[DescribedPoint, ...]


def describe_teacher(job: CacheJob) -> DescribedTeacher:
    """Hear one sample of the job's source at every well-known point of its teacher, whatever signals the job has.

    Raises StageError and DataError for a teacher that cannot be loaded, or called.
    """
    shard = job.source.shards()[0]
    prepare = teacher_inputs(job.teacher, job.folder, job.source, job.policy)
    prepared = PreparedPieces(job.source, job.policy, prepare, [(shard, 0, 1, True)], False)[0]
    device = pick_device(job.teacher.device)
    inputs = {name: value.to(device) for name, value in prepared.inputs.items()}
    teacher = open_teacher(job.teacher, job.folder, {}, device)
    config, facts = teacher.config, teacher.facts()
    teacher.close()
    del teacher
    family = family_of(job.teacher, job.folder)
    groups = point_groups(job.teacher, family, config)
    found = [point for group in groups for point in _described(job, group, inputs, device, prepare.longest)]
    return DescribedTeacher(family, facts, tuple(found))


def _described(
    job: CacheJob, points: list[str], inputs: Mapping[str, torch.Tensor], device: torch.device, longest: int | None
) -> list[DescribedPoint]:
    """Those of a kind; none when the teacher lacks the kind."""
    plain = {point: SignalSpec(codec="f16") for point in points}
    try:
        teacher = open_teacher(job.teacher, job.folder, plain, device)
    except StageError:
        return []
    try:
        heard = teacher(inputs)
    except StageError:
        return []
    finally:
        teacher.close()
    described = []
    for point, values in heard.items():
        schema = signal_schema(point, plain[point], values, longest)
        spec = _choice(point, schema)
        chosen = signal_schema(point, spec, values, longest)
        described.append(
            DescribedPoint(
                point, schema.shape, schema.packing is not None, schema.row_bytes(), spec.codec, chosen.row_bytes()
            )
        )
    return described


def _choice(point: str, schema: SignalSchema) -> SignalSpec:
    """The codec that one would try first. Sparse are the logits of a row, or those of tokens that differ in number."""
    sparse = schema.shape[-1] > _MANY and (len(schema.shape) == 1 or schema.packing is not None)
    match parse_point(point, paths=True).kind:
        case "logits" if sparse:
            return SignalSpec(codec="topk", k=16)
        case "attention":
            return SignalSpec(codec="u8sqrt")
        case "hidden" | "qkv" | "embedding" | "embeds":
            return SignalSpec(codec="int8")
        case _:
            return SignalSpec(codec="f16")
