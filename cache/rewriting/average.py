"""The mean of several teachers as one teacher: log of the weighted mean of their softmax probabilities.

The mean is over probabilities, not over logits: it is what an ensemble says, and its temperature is 1. By confidence,
each teacher's softmax is taken at its own temperature, and in each row the surer teacher has the larger say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..cache import Cache
from ..codecs import Codec, build_codec
from ..codecs.logits.softmax import log_softmax
from ..errors import CacheError
from ..format.privacy import together
from ..format.schema import SignalSchema
from .agreement import check_same_keys, described, index_of, rows_of, view_signals
from .dense import dense_rows
from .origin import Copied, Encoded, Figures, Origin, encode, shard_rows
from .rewrite import Rewrite

_UNSURE = 1e-3  # the say of a teacher that knows nothing of a row: where none knows anything, all say as much
_MEASURED = 256  # rows on which the error is measured before the new cache is made


def mean_logits(logits: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """log(sum_i w_i softmax(z_i)) over the last axis, float32 (n, classes); the weights are scaled to sum to 1.

    Its softmax is the mean of the softmaxes. Computed by log-sum-exp in float64, so tiny probabilities keep digits.
    """
    total = float(sum(weights))
    terms = [log_softmax(z.astype(np.float64)) + np.log(w / total) for z, w in zip(logits, weights, strict=True)]
    found: np.ndarray = np.logaddexp.reduce(terms, axis=0).astype(np.float32)
    return found


def confident_mean_logits(
    logits: Sequence[np.ndarray], weights: Sequence[float], temperatures: Sequence[float]
) -> np.ndarray:
    """log(sum_i s_i p_i) over the last axis, float32 (n, classes), with p_i = softmax(z_i / T_i) and the say of teacher
    i in a row s_i = w_i c_i / sum_j w_j c_j, where c_i = 1 - H(p_i) / log(classes), at least a thousandth."""
    cooled = [log_softmax(z.astype(np.float64) / t) for z, t in zip(logits, temperatures, strict=True)]
    entropy = np.stack([-(np.exp(z) * np.where(np.isfinite(z), z, 0.0)).sum(axis=-1) for z in cooled])
    confidence = np.maximum(1 - entropy / np.log(cooled[0].shape[-1]), _UNSURE)  # (teachers, n)
    says = np.asarray(weights, np.float64)[:, None] * confidence
    says /= says.sum(axis=0)
    terms = [z + np.log(say)[:, None] for z, say in zip(cooled, says, strict=True)]
    found: np.ndarray = np.logaddexp.reduce(terms, axis=0).astype(np.float32)
    return found


def average_plan(
    parents: Sequence[Cache],
    signal: str,
    weights: Sequence[float],
    codec: str | None = None,
    temperatures: Sequence[float] | None = None,
) -> Rewrite:
    """How to average one signal, logits, over caches of the same samples and views; other signals but the
    pixels of the views are left out. With `temperatures`, one for each parent, by confidence.

    `codec` is the first parent's when None. Raises CacheError for parents that do not fit, or keep only some logits.
    """
    if temperatures is not None and not all(0 < t < float("inf") for t in temperatures):
        raise CacheError(f"temperatures are numbers above 0, not {list(temperatures)}")
    if len(weights) != len(parents) or not all(0 < w < float("inf") for w in weights):
        raise CacheError(f"{len(parents)} caches need {len(parents)} weights above 0, not {list(weights)}")
    check_same_keys(parents)
    schemas = [_schema(parent, signal) for parent in parents]
    classes = {tuple(parent.manifest.classes) for parent in parents}
    if len({schema.target_shape for schema in schemas}) != 1 or len(classes) != 1:
        raise CacheError(f"the teachers' {signal} are not over the same classes in the same order")
    built, shape = _codec(schemas[0], codec), schemas[0].target_shape
    cooled = None if temperatures is None else tuple(temperatures)
    origin = Averaged(tuple(parents), signal, tuple(weights), built, shape, cooled)
    schema = SignalSchema(signal, built.name, built.parameters, shape, schemas[0].point, schemas[0].reduce)
    shared = {name: parent for name, parent in view_signals(parents).items() if name != signal}
    manifest = replace(
        parents[0].manifest,
        fingerprint=_fingerprint(parents, signal, origin, schema, shared),
        signals={
            signal: replace(schema, error=_first_error(parents, origin)),
            **{name: parent.manifest.signals[name] for name, parent in shared.items()},
        },
        teacher={"average": [dict(parent.manifest.teacher) for parent in parents], **origin.says},
        constants={},
        privacy=together(parent.manifest.privacy for parent in parents),
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
    temperatures: tuple[float, ...] | None = None

    @property
    def says(self) -> dict[str, Any]:
        """How much each parent counts, as JSON."""
        confident = {} if self.temperatures is None else {"temperatures": list(self.temperatures)}
        return {"weights": list(self.weights), **confident}

    def encoded(self, shard: str, rows: np.ndarray) -> tuple[Encoded, Figures]:
        logits = [dense_rows(parent, self.signal, shard, rows) for parent in self.parents]
        if self.temperatures is None:
            return encode(self.codec, mean_logits(logits, self.weights), self.shape)
        return encode(self.codec, confident_mean_logits(logits, self.weights, self.temperatures), self.shape)

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
    origin: Averaged,
    schema: SignalSchema,
    shared: Mapping[str, Cache],
) -> dict[str, Any]:
    first: Mapping[str, Any] = parents[0].manifest.fingerprint
    about = {**described(parents[0], signal), "codec": schema.codec, "parameters": dict(schema.parameters)}
    teachers = [parent.manifest.fingerprint.get("teacher") for parent in parents]
    average = {"verb": "merge", "parents": [p.manifest.digest for p in parents], "average": signal}
    return {
        **first,
        "teacher": {"average": teachers, **origin.says},
        "signals": {signal: about, **{name: described(parent, name) for name, parent in shared.items()}},
        "derived": average,
    }
