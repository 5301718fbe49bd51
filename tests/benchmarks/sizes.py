"""Bytes a row of every codec and what it loses on the shipped teacher's own outputs, beside float32; then what models
of well-known shapes take (anatomies.py), and codecs whose bytes follow from the shape alone.

Nothing here is timed.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from anatomies import measured
from figure import Figure
from teachers import shipped

from teachercache.cache import SignalSchema
from teachercache.cache.spec import SignalSpec
from teachercache.stages.teacher.families.image_classifier import ImageClassifier
from teachercache.stages.teacher.inputs.images import ImageInputs
from teachercache.stages.teacher.inputs.loader import PreparedPieces, plan_pieces
from teachercache.stages.teacher.inputs.preprocessing import Preprocessor
from teachercache.stages.teacher.signals.encoding import measure_errors

_SIGNALS: tuple[dict[str, Any], ...] = (
    {"point": "logits", "codec": "f16"},
    {"point": "logits", "codec": "bf16"},
    {"point": "logits", "codec": "u8affine", "scale": "f16"},
    {"point": "logits", "codec": "topk", "k": 4},
    {"point": "embedding", "codec": "f16"},
    {"point": "embedding", "codec": "int8"},
    {"point": "hidden.3", "codec": "f16"},
    {"point": "hidden.3", "codec": "int8"},
    {"point": "hidden.3", "codec": "f16", "reduce": "cls"},
    {"point": "attention.5", "codec": "f16"},
    {"point": "attention.5", "codec": "u8sqrt"},
    {"point": "attention.5", "codec": "u8sqrt", "reduce": "head-mean"},
    {"point": "attention.5", "codec": "u8sqrt", "reduce": "cls-row"},
    {"point": "attention.5", "codec": "factored"},
    {"point": "attention.5", "codec": "factored", "keep": "int8"},
    {"point": "qkv.5", "codec": "int8"},
)


@dataclass(frozen=True, slots=True)
class Promise:
    """A workload of `signals` equal signals, and the most bytes that one row of it may take."""

    what: str
    schema: SignalSchema
    signals: int
    bytes: int


_PROMISES = (
    Promise("1,000 logits, topk, 16, 3 tails", SignalSchema("x", "topk", {"k": 16, "entropy": True}, (1000,)), 1, 80),
    Promise("1,000 logits, pps, 16, 3 temperatures", SignalSchema("x", "pps", {"k": 16}, (1000,)), 1, 64),
    Promise("1,000 logits, u8affine, scale f16", SignalSchema("x", "u8affine", {"scale": "f16"}, (1000,)), 1, 1004),
)


def measure(tiny: bool, scratch: Path) -> list[Figure]:
    """The figures of this benchmark."""
    shipped_teacher = _measured(32 if tiny else 480, scratch)
    return shipped_teacher + measured(tiny, scratch / "anatomies") + [_promised(promise) for promise in _PROMISES]


def _measured(rows: int, scratch: Path) -> list[Figure]:
    """Sizes and errors on `rows` plain images of the shipped source."""
    signals = {f"s{i}": SignalSpec.model_validate(settings) for i, settings in enumerate(_SIGNALS)}
    bench = replace(shipped(scratch, views=1, keep_pixels=False), signals=signals)
    job = bench.job(scratch / "cache")
    prepare = ImageInputs(Preprocessor(job.folder, job.policy.size, job.policy.channels))
    pieces = plan_pieces(job.source, job.source.shards(), rows)
    prepared = PreparedPieces(job.source, job.policy, prepare, pieces, keep_pixels=False)[0]
    teacher = ImageClassifier(job.teacher, job.folder, job.signals, torch.device("cpu"))
    try:
        heard = teacher(prepared.inputs)
    finally:
        teacher.close()
    schemas, errors = job.schemas(heard), measure_errors(heard, job.schemas(heard))
    return [_kept(schema, errors[name], f"{prepared.rows} rows, {bench.about}") for name, schema in schemas.items()]


def _kept(schema: SignalSchema, error: dict[str, float], rows: str) -> Figure:
    details = [schema.point, schema.codec, *_settings(schema), schema.reduce]
    what = ", ".join(part for part in details if part != "none")
    lost = ", ".join(f"{name} {value:.2g}" for name, value in error.items())
    return _figure(what, schema.row_bytes(), _f32_bytes(schema), None, f"{lost} ({rows})")


def _settings(schema: SignalSchema) -> list[str]:
    """The codec's parameters that were chosen, not those that were heard."""
    return [str(schema.parameters[name]) for name in ("k", "scale", "keep") if name in schema.parameters]


def _promised(promise: Promise) -> Figure:
    ours, reference = (promise.signals * each for each in (promise.schema.row_bytes(), _f32_bytes(promise.schema)))
    return _figure(promise.what, ours, reference, promise.bytes, "")


def _figure(what: str, ours: int, reference: int, most: int | None, note: str) -> Figure:
    return Figure(
        what,
        f"{ours:,} B/row",
        f"f32: {reference:,} B/row",
        reference / ours,
        bar="" if most is None else f"<= {most:,} B",
        reached=None if most is None else ours <= most,
        note=note,
    )


def _f32_bytes(schema: SignalSchema) -> int:
    return 4 * int(np.prod(schema.shape))
