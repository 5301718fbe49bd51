"""Random numbers that are a pure function of a row: a shard that is built again is drawn again byte for byte.

The float32 bits of a row are hashed to its key; number i of a row is a hash of (key, i). All is done in int64, modulo
2^32, so numpy and torch, on any device, draw the same. Two rows of equal values draw alike.
"""

from typing import Any

from array_api_compat import array_namespace, device

from ..codec import Array

_MASK = 0xFFFFFFFF


def row_keys(values: Array, key: int = 0) -> Array:
    """Keys (n,) of rows (n, C) float32, int64 in [0, 2^32). Another `key` gives another, independent set of draws."""
    xp = array_namespace(values)
    salted = _bits(xp, values) ^ _counters(xp, values.shape[-1], values)
    return _mix(xp.sum(_mix(salted), axis=-1) + key & _MASK)


def uniforms(keys: Array, count: int) -> Array:
    """`count` numbers of each key, (n, count) float64, inside (0, 1), on a grid of 2^-52."""
    xp = array_namespace(keys)
    words = _mix(keys[:, None] ^ _counters(xp, 2 * count, keys))
    return (xp.astype((words[:, :count] << 20) + (words[:, count:] >> 12), xp.float64) + 0.5) * 2.0**-52


def dithers(ids: Array, threshold: Array) -> Array:
    """A number in [0, 1) for each entry, (n, k) float32, of what is on disk: ids (n, k) int64, threshold (n,) float32.

    So the reader knows the dither and takes it off again (see threshold_values.py).
    """
    xp = array_namespace(ids)
    counters = _counters(xp, ids.shape[-1], ids)
    keys = _mix(xp.sum(_mix(ids ^ counters), axis=-1) + _bits(xp, threshold) & _MASK)
    return xp.astype(_mix(keys[:, None] ^ counters) >> 8, xp.float32) * 2.0**-24


def _bits(xp: Any, values: Array) -> Array:
    return xp.astype(values.view(xp.int32), xp.int64) & _MASK


def _counters(xp: Any, count: int, like: Array) -> Array:
    """Hashes of 1 to count, (count,)."""
    return _mix(xp.arange(1, count + 1, dtype=xp.int64, device=device(like)))


def _mix(words: Array) -> Array:
    """A bijection of [0, 2^32) in which every bit depends on every bit: xorshift and multiply, as in C. Wellons'
    hash-prospector, with odd factors below 2^31, so that no product leaves int64."""
    words = ((words ^ (words >> 16)) * 0x21F0AAAD) & _MASK
    words = ((words ^ (words >> 15)) * 0x735A2D97) & _MASK
    return words ^ (words >> 15)
