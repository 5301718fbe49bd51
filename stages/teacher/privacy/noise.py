"""Clipping a row, and Gaussian noise from a secret: the Gaussian mechanism (Dwork & Roth 2014, appendix A).

All in float64 on the host, whatever the device: the same row gives the same bits. The normals are those of floating
point numbers; what is kept of the sum is rounded to at most 24 bits, and no more is done against attacks on low bits.
"""

from collections.abc import Sequence
from hashlib import shake_256

import numpy as np


def clip_rows(rows: np.ndarray, clip: float) -> np.ndarray:
    """Rows (n, d) float64, each scaled down to an L2 norm of `clip` where it is longer; others stay bit for bit. What
    is not finite becomes NaN, which no cache keeps."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        found: np.ndarray = rows * (clip / np.maximum(norms, clip))
    return found


def secret_normals(key: bytes, seeds: Sequence[bytes], width: int) -> np.ndarray:
    """Standard normals (n, width) float64: row i is a function of the key and seeds[i] alone.

    SHAKE-256 (NIST FIPS 202) of key and seed gives the bits, as a pseudorandom function, and Box & Muller (1958) make
    normals of them. Without the key they cannot be told from independent draws.
    """
    even = width + width % 2
    bits = b"".join(shake_256(key + seed).digest(8 * even) for seed in seeds)
    words = np.frombuffer(bits, "<u8").reshape(len(seeds), even)
    uniform = ((words >> np.uint64(11)).astype(np.float64) + 1) * 2.0**-53  # in (0, 1]
    radius, angle = np.sqrt(-2 * np.log(uniform[:, ::2])), 2 * np.pi * uniform[:, 1::2]
    normals: np.ndarray = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)[:, :width]
    return normals
