"""Decoded values of which nothing was left out, as other codecs and averages need them."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..cache import Cache
from ..codecs import HeadLogits, Ragged
from ..codecs.packing import real_tokens
from ..errors import CacheError
from ..format.schema import SignalSchema
from ..keeping.ranges import piece_rows
from .origin import encoded_rows, shard_rows

_PIECE_BYTES = 1 << 24  # decoded at once


def dense_rows(cache: Cache, signal: str, shard: str, rows: np.ndarray) -> Any:
    """Decoded rows of a finished shard, by their numbers in it: an array (n, ...) or Ragged.

    Raises CacheError for a form that keeps only some entries of a row, such as the top k: the others are not known.
    """
    schema = cache.manifest.signals[signal]
    decoded = cache.codec(signal).decode(encoded_rows(cache, signal, shard, rows), schema.shape)
    if isinstance(decoded, np.ndarray | Ragged):
        return decoded
    if isinstance(decoded, HeadLogits):
        return decoded.logits()
    raise CacheError(
        f"signal {schema.name} is kept by codec {schema.codec}, which leaves out most of a row: it cannot be "
        "recoded or averaged. Build it again with the codec that you want"
    )


def all_vectors(cache: Cache, signal: str) -> Iterator[np.ndarray]:
    """Every vector of a signal, of rows of different lengths the real tokens': (n, ..., width), piece by piece."""
    schema = cache.manifest.signals[signal]
    step = piece_rows(schema, _PIECE_BYTES)
    for shard in cache.shards:
        rows = shard_rows(cache, shard)
        for start in range(0, rows, step):
            piece = np.arange(start, min(start + step, rows))
            yield _vectors(schema, dense_rows(cache, signal, shard, piece))


def _vectors(schema: SignalSchema, values: Any) -> np.ndarray:
    if not isinstance(values, Ragged):
        return np.asarray(values)
    assert schema.packing is not None
    axis = schema.packing.axes[0] + 1
    found: np.ndarray = np.moveaxis(values.values, axis, 1)[real_tokens(values.lengths, values.values.shape[axis])]
    return found
