"""Whether decoded values can be what a teacher said: finite, classes that exist, probabilities that sum to one.

Hashes prove that bytes are as they were written; this finds what was wrong when it was written.
"""

import re
from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from ..codecs import HeadLogits, Ragged, SampledTargets, SparseLogits, TokenLogits
from ..errors import DamagedCacheError
from ..format.schema import SignalSchema
from ..grid.member import Member
from ..reading.shard_reader import ShardReader

_WHOLE_MAP = re.compile(r"(?:(?:vision|text)\.)?attention\.-?\d+")  # blocks of a map sum to less than 1
_LOGITS = ("topk", "pps", "sampling", "head")  # a row is far smaller than the logits that it tells of
_PIECE_BYTES = 1 << 21  # decoded at once: what stays in a processor's cache is checked twice as fast


def piece_rows(schema: SignalSchema, decoded_bytes: int) -> int:
    """Rows of a signal that are decoded at once when a whole shard is walked."""
    return max(1, min(1 << 13, decoded_bytes // max(1, 4 * prod(schema.target_shape))))


def _step(schema: SignalSchema) -> int:
    """Rows that are decoded at once here, where logits that are not kept whole are not made whole."""
    if schema.codec not in _LOGITS:
        return piece_rows(schema, _PIECE_BYTES)
    return max(1, min(1 << 13, _PIECE_BYTES // (4 * schema.row_bytes())))


def check_ranges(member: Member, reader: ShardReader) -> None:
    """Decode all rows of a shard. Raises DamagedCacheError naming signal and row of the first impossible value."""
    for name, schema in member.manifest.signals.items():
        step = _step(schema)
        for start in range(0, len(reader), step):
            piece = np.arange(start, min(start + step, len(reader)))
            decoded = member.codec(name).decode(reader.read(name, piece), schema.shape)
            wrong = impossible_rows(schema, decoded)
            if wrong is not None:
                row, problem = wrong
                raise DamagedCacheError(f"signal {name}, row {start + row}: {problem}")


def impossible_rows(schema: SignalSchema, decoded: Any) -> tuple[int, str] | None:
    """The first row that cannot be, and why; None when all can. `decoded` is what the codec made of some rows."""
    for good, problem in _tests(schema, decoded):
        if not good.all():
            return int(np.argmin(good)), problem
    return None


Tests = Iterator[tuple[np.ndarray, str]]  # which rows are good: (n,) bool, and what the others are


def _tests(schema: SignalSchema, decoded: Any) -> Tests:
    if isinstance(decoded, SparseLogits):
        yield from _sparse_tests(decoded)
    elif isinstance(decoded, SampledTargets):
        yield from _sampled_tests(decoded)
    elif isinstance(decoded, TokenLogits):
        yield from _token_tests(schema, decoded)
    elif isinstance(decoded, HeadLogits):
        yield from _tests(schema, decoded.hidden)
    elif isinstance(decoded, Ragged):
        longest = schema.shape[schema.packing.axes[0]] if schema.packing else 0
        yield np.asarray(decoded.lengths) <= longest, f"it has more than {longest} tokens"
        yield _finite(decoded.values)
    else:
        yield _finite(decoded)
        if _WHOLE_MAP.fullmatch(schema.point) and schema.codec == "u8sqrt":
            yield _sum_to_one(decoded)


def _token_tests(schema: SignalSchema, decoded: TokenLogits) -> Tests:
    """A row is good when each of its tokens is."""
    lengths = np.asarray(decoded.lengths, np.int64)
    row = np.repeat(np.arange(len(lengths)), lengths)
    for good, problem in _tests(schema, decoded.targets):
        yield np.bincount(row, ~good, minlength=len(lengths)) == 0, f"of a token: {problem}"


def _finite(values: np.ndarray) -> tuple[np.ndarray, str]:
    return _each(np.isfinite(values)), "a value is NaN or infinite"


def _sum_to_one(probabilities: np.ndarray) -> tuple[np.ndarray, str]:
    # of a square root q/255 at most 1/510 is lost, so of the sum over T at most (2 sqrt(T) + T / 510) / 510
    tokens = probabilities.shape[-1]
    bound = (2 * tokens**0.5 + tokens / 510) / 510 + 1e-3
    sums = probabilities @ np.ones(tokens, probabilities.dtype)  # BLAS: many short sums are slow in numpy
    return _each(np.abs(sums - 1) <= bound), "its probabilities do not sum to 1"


def _sparse_tests(sparse: SparseLogits) -> Tests:
    ids, values = np.asarray(sparse.ids), sparse.values
    yield _classes(ids, sparse.classes)
    yield _each(np.diff(np.sort(ids, axis=-1)) > 0), "a class is there twice"
    yield _each(np.isfinite(values) & (values <= 0)), "a value is not finite, or above the largest"
    for temperature, tail in sparse.tails.items():
        yield ~np.isnan(tail) & (tail < np.inf), f"the tail at temperature {temperature} is NaN or infinite"


def _sampled_tests(sampled: SampledTargets) -> Tests:
    yield _classes(np.asarray(sampled.ids), sampled.classes)
    yield _finite(sampled.entropy)
    for temperature, weights in sampled.weights.items():
        good = np.isfinite(weights) & (weights >= 0)
        yield _each(good), f"a weight at temperature {temperature} is negative or not finite"


def _classes(ids: np.ndarray, classes: int) -> tuple[np.ndarray, str]:
    return _each((ids >= 0) & (ids < classes)), f"a class is none of {classes}"


def _each(good: Any) -> np.ndarray:
    """Which rows are good everywhere: (n, ...) bool -> (n,) bool."""
    found: np.ndarray = good.all(axis=tuple(range(1, good.ndim)))
    return found
