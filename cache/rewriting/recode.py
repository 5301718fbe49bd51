"""The same values kept by other codecs: smaller, at an error that is measured against what was decoded before."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..cache import Cache
from ..codecs import SPARSE, Codec, Packing, Ragged
from ..errors import CacheError
from ..format.schema import SignalSchema
from .dense import dense_rows
from .origin import Copied, Encoded, Figures, Origin, encode, shard_rows
from .rewrite import Rewrite

_NOT_FROM_VALUES = ("head", "factored")  # they keep what the values were made of
_MEASURED = 256  # rows on which the error is measured before the new cache is made


@dataclass(frozen=True, slots=True)
class NewCodec:
    """How a signal is to be kept: the codec, what it is built with, the compression of its blocks, and arrays by the
    argument of the codec that they are (kept once in the new cache). `described` is what a fingerprint says of the
    parameters; all of them when None."""

    codec: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    compression: str = "none"
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    described: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Recoded:
    """A signal of a parent, decoded and encoded by another codec."""

    parent: Cache
    signal: str
    codec: Codec
    shape: tuple[int, ...]

    def encoded(self, shard: str, rows: np.ndarray) -> tuple[Encoded, Figures]:
        return encode(self.codec, dense_rows(self.parent, self.signal, shard, rows), self.shape)

    def measured(self, shard: str) -> Figures:
        return {}


def recode_plan(cache: Cache, codecs: Mapping[str, NewCodec]) -> Rewrite:
    """How to keep some signals by other codecs; the others are copied.

    Raises CacheError for a signal that the cache does not have, or whose values are no longer all known.
    """
    schemas, constants = dict(cache.manifest.signals), _kept_constants(cache, codecs)
    origins: dict[str, Origin] = {name: Copied(cache, name) for name in schemas}
    for name, new in codecs.items():
        if name not in schemas:
            raise CacheError(f"{cache.url} has no signal {name!r}; it has {', '.join(schemas)}")
        named = {argument: f"{name}.{argument}" for argument in new.constants}
        constants |= {named[argument]: array for argument, array in new.constants.items()}
        schemas[name], origins[name] = _recoded(cache, name, new, named)
    manifest = replace(cache.manifest, fingerprint=_fingerprint(cache, schemas, codecs), signals=schemas, constants={})
    index = lambda shard: cache.reader(shard).index  # noqa: E731
    return Rewrite(manifest, (cache,), origins, index, lambda s: np.arange(shard_rows(cache, s)), constants)


def _recoded(cache: Cache, name: str, new: NewCodec, named: Mapping[str, str]) -> tuple[SignalSchema, Origin]:
    """The new schema of a signal, with its error on some first rows, and where its rows come from."""
    old = cache.manifest.signals[name]
    schema = replace(old, codec=new.codec, compression=new.compression, constants=named, error={})
    schema = replace(schema, parameters=dict(new.parameters), packing=_packing(old, new.codec))
    if new.codec in _NOT_FROM_VALUES:
        raise CacheError(f"signal {name}: codec {new.codec} keeps more than the values tell; build it with that codec")
    if (old.codec, dict(old.parameters)) == (new.codec, dict(new.parameters)):
        return replace(old, compression=new.compression), Copied(cache, name)
    values = _first_values(cache, name)
    rows = values.values if isinstance(values, Ragged) else values
    schema = replace(schema, shape=tuple(rows.shape[1:]) if schema.packing is None else old.target_shape)
    codec = schema.build({named[argument]: array for argument, array in new.constants.items()})
    schema = replace(schema, parameters={k: v for k, v in codec.parameters.items() if k not in named})
    error = encode(codec, values, schema.shape)[1]
    return replace(schema, error=error), Recoded(cache, name, codec, schema.shape)


def _packing(old: SignalSchema, codec: str) -> Packing | None:
    """How rows of the decoded values are packed: factors are packed by tokens, and the maps made of them by pairs. Of
    logits of each token a codec that keeps some classes keeps the tokens one by one."""
    if codec in SPARSE and old.packing is None and len(old.target_shape) == 2:
        return Packing((0,))
    if old.codec != "factored" or old.packing is None:
        return old.packing
    axis = old.packing.axes[0]
    return Packing((axis, axis + 1), bool(old.parameters.get("causal")))


def _first_values(cache: Cache, name: str) -> Any:
    """Decoded rows of the first shard that has any."""
    for shard, rows in zip(cache.shards, cache.row_counts, strict=True):
        if rows:
            return dense_rows(cache, name, shard, np.arange(min(int(rows), _MEASURED)))
    raise CacheError(f"{cache.url} holds no row: there is nothing to recode")


def _kept_constants(cache: Cache, codecs: Mapping[str, NewCodec]) -> dict[str, np.ndarray]:
    """Constants of the signals that keep their codec."""
    kept = (it for name, it in cache.manifest.signals.items() if name not in codecs or it.codec == codecs[name].codec)
    return {name: cache.constant(name) for schema in kept for name in schema.constants.values()}


def _fingerprint(cache: Cache, schemas: Mapping[str, SignalSchema], codecs: Mapping[str, NewCodec]) -> dict[str, Any]:
    """The old fields with the new codecs, so that a configuration that asks for these finds them."""
    fingerprint = dict(cache.manifest.fingerprint)
    described = dict(fingerprint.get("signals", {}))
    before = {}
    for name in codecs:
        old = cache.manifest.signals[name]
        before[name] = {"codec": old.codec, "parameters": dict(old.parameters), "error": dict(old.error)}
        parameters = schemas[name].parameters if codecs[name].described is None else codecs[name].described
        own = {"codec": schemas[name].codec, "parameters": dict(parameters or {})}
        described[name] = {**described.get(name, {}), **own}
    derived = {"verb": "recode", "parents": [cache.manifest.digest], "before": before}
    return {**fingerprint, "signals": described, "derived": derived}
