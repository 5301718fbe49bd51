"""Random numbers for views: Philox4x32-10, keyed by the sample's id, the seed and the number of the view.

Written out, because NumPy does not promise that its generators draw the same in every release. It refuses to hold a
state: a view is the same whoever draws it, in whatever order, alone or among others. Integers up to the uniforms.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. The known answers of their
Random123 library are in the tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xxhash

_MULTIPLIERS = np.array([[0xD2511F53], [0xCD9E8D57]], dtype=np.uint64)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


def philox(counter: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Ten rounds of Philox4x32: `counter` (4, n) and `key` (2, n) hold 32-bit words in uint64, as the result does."""
    words = counter.astype(np.uint64)
    for turn in range(10):
        weyl = np.array([[turn * step & 0xFFFFFFFF] for step in _WEYL], dtype=np.uint64)
        round_key = (key + weyl) & _LOW
        low_high = words[0::2] * _MULTIPLIERS  # both products; 32 x 32 bits always fit into 64
        high, low = low_high >> _32, low_high & _LOW
        words = np.stack([high[1] ^ words[1] ^ round_key[0], low[1], high[0] ^ words[3] ^ round_key[1], low[0]])
    return words


@dataclass(frozen=True, slots=True)
class Streams:
    """One stream of random numbers per row; `identity` (4, n) holds the 128-bit hash of (seed, sample), `view` (n,)."""

    identity: np.ndarray
    view: np.ndarray

    def uniforms(self, operation: int, count: int) -> np.ndarray:
        """float64 (n, count) in [0, 1), multiples of 2^-53; another set for every `operation` < 2^24 of the policy."""
        columns: list[np.ndarray] = []
        for block in range((count + 1) // 2):
            place = np.full_like(self.view, operation << 8 | block)
            counter = np.stack([self.identity[2], self.identity[3], self.view, place])
            words = philox(counter, self.identity[:2])
            columns += [_uniform(words[0], words[1]), _uniform(words[2], words[3])]
        return np.stack(columns[:count], axis=1)


def streams(seed: int, ids: Sequence[str], views: range) -> Streams:
    """The streams of every sample's `views`, row by row: sample 0 with each view, sample 1 with each view, ..."""
    # One hash a sample is the only step that walks the samples in Python: their ids are Python strings.
    digests = b"".join(xxhash.xxh3_128_digest(sample.encode(), seed=seed) for sample in ids)
    identity = np.frombuffer(digests, dtype=">u4").reshape(-1, 4).T.astype(np.uint64)
    view = np.tile(np.arange(views.start, views.stop, dtype=np.uint64), len(ids))
    return Streams(np.repeat(identity, len(views), axis=1), view)


def _uniform(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """53 of 64 random bits as a float64 in [0, 1): exact, so equal on every machine."""
    bits = (high << np.uint64(21)) | (low >> np.uint64(11))
    return bits.astype(np.float64) * 2.0**-53
