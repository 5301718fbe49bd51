"""The mean of several teachers as one teacher: log of the weighted mean of their softmax probabilities.

The mean is over probabilities, not over logits: it is what an ensemble says, and its temperature is 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..cache import Cache
from ..codecs import Codec, build_codec
from ..codecs.logits.softmax import log_softmax
from ..errors import CacheError
from ..format.schema import SignalSchema
from .agreement import check_same_keys, described, index_of, rows_of, view_signals
from .dense import dense_rows
from .origin import Copied, Encoded, Figures, Origin, encode, shard_rows
from .rewrite import Rewrite

_MEASURED = 256  # rows on which the error is measured before the new cache is made


def mean_logits(logits: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """log(sum_i w_i softmax(z_i)) over the last axis, float32 (n, classes); the weights are scaled to sum to 1.

    Its softmax is the mean of the softmaxes. Computed by log-sum-exp in float64, so tiny probabilities keep digits.
    """
    total = float(sum(weights))
    terms = [log_softmax(z.astype(np.float64)) + np.log(w / total) for z, w in zip(logits, weights, strict=True)]
    found: np.ndarray = np.logaddexp.reduce(terms, axis=0).astype(np.float32)
    return found


def average_plan(parents: Sequence[Cache], signal: str, weights: Sequence[float], codec: str | None = None) -> Rewrite:
    """How to average one signal, logits, over caches of the same samples and views; other signals but the
    pixels of the views are left out.

    `codec` is the first parent's when None. Raises CacheError for parents that do not fit, or keep only some logits.
    """
    if len(weights) != len(parents) or not all(0 < w < float("inf") for w in weights):
        raise CacheError(f"{len(parents)} caches need {len(parents)} weights above 0, not {list(weights)}")
    check_same_keys(parents)
    schemas = [_schema(parent, signal) for parent in parents]
    classes = {tuple(parent.manifest.classes) for parent in parents}
    if len({schema.target_shape for schema in schemas}) != 1 or len(classes) != 1:
        raise CacheError(f"the teachers' {signal} are not over the same classes in the same order")
    built, shape = _codec(schemas[0], codec), schemas[0].target_shape
    origin = Averaged(tuple(parents), signal, tuple(weights), built, shape)
    schema = SignalSchema(signal, built.name, built.parameters, shape, schemas[0].point, schemas[0].reduce)
    shared = {name: parent for name, parent in view_signals(parents).items() if name != signal}
    manifest = replace(
        parents[0].manifest,
        fingerprint=_fingerprint(parents, signal, weights, schema, shared),
        signals={
            signal: replace(schema, error=_first_error(parents, origin)),
            **{name: parent.manifest.signals[name] for name, parent in shared.items()},
        },
        teacher={"average": [dict(parent.manifest.teacher) for parent in parents], "weights": list(weights)},
        constants={},
    )
    origins: dict[str, Origin] = {signal: origin, **{name: Copied(it, name) for name, it in shared.items()}}
    return Rewrite(manifest, tuple(parents), origins, index_of(parents), rows_of(parents))


@dataclass(frozen=True, slots=True)
class Averaged:
    """The mean over parents of one signal. An Origin."""

    parents: tuple[Cache, ...]
    signal: str
    weights: tuple[float, ...]
    codec: Codec
    shape: tuple[int, ...]

    def encoded(self, shard: str, rows: np.ndarray) -> tuple[Encoded, Figures]:
        logits = [dense_rows(parent, self.signal, shard, rows) for parent in self.parents]
        return encode(self.codec, mean_logits(logits, self.weights), self.shape)

    def measured(self, shard: str) -> Figures:
        return {}


def _codec(first: SignalSchema, codec: str | None) -> Codec:
    """The codec that is asked for, or the first parent's; of the input of a head the logits are averaged, in f16."""
    if codec is None and first.codec != "head":
        return build_codec(first.codec, first.parameters)
    return build_codec(codec or "f16", {})


def _schema(parent: Cache, signal: str) -> SignalSchema:
    if signal not in parent.manifest.signals:
        raise CacheError(f"{parent.url} has no signal {signal!r}; it has {', '.join(parent.signals)}")
    schema = parent.manifest.signals[signal]
    if len(schema.target_shape) != 1 or schema.packing is not None:
        raise CacheError(f"signal {signal} of {parent.url} has rows of shape {schema.shape}; logits can be averaged")
    return schema


def _first_error(parents: Sequence[Cache], origin: Averaged) -> Figures:
    for shard in parents[0].shards:
        rows = shard_rows(parents[0], shard)
        if rows and all(shard in parent.shards for parent in parents):
            return origin.encoded(shard, np.arange(min(rows, _MEASURED)))[1]
    return {}


def _fingerprint(
    parents: Sequence[Cache],
    signal: str,
    weights: Sequence[float],
    schema: SignalSchema,
    shared: Mapping[str, Cache],
) -> dict[str, Any]:
    first: Mapping[str, Any] = parents[0].manifest.fingerprint
    about = {**described(parents[0], signal), "codec": schema.codec, "parameters": dict(schema.parameters)}
    teachers = [parent.manifest.fingerprint.get("teacher") for parent in parents]
    average = {"verb": "merge", "parents": [p.manifest.digest for p in parents], "average": signal}
    return {
        **first,
        "teacher": {"average": teachers, "weights": list(weights)},
        "signals": {signal: about, **{name: described(parent, name) for name, parent in shared.items()}},
        "derived": average,
    }
