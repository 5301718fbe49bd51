"""How many dimensions an embedding really uses: the eigenvalues of its covariance."""

from dataclasses import dataclass

import numpy as np

from ...cache import Cache

_ROWS = 4096
_WIDEST = 4096


@dataclass(frozen=True, slots=True)
class Spectrum:
    """`variance` (d,) share of each direction, largest first; `effective` the eigenvalues' participation ratio."""

    signal: str
    variance: np.ndarray
    effective: float

    def dimensions(self, share: float) -> int:
        """Directions that together keep at least this share of the variance."""
        return int(np.searchsorted(np.cumsum(self.variance), min(share, self.variance.sum()) - 1e-12) + 1)


def embedding_spectra(cache: Cache) -> list[Spectrum]:
    """Spectra of the signals that are one vector a row and no logits; vectors above 4,096 numbers are left out."""
    signals = cache.manifest.signals
    names = [name for name, schema in signals.items() if len(schema.shape) == 1 and _is_embedding(schema.point or name)]
    return [_spectrum(cache, name) for name in names if 1 < signals[name].shape[0] <= _WIDEST]


def _is_embedding(point: str) -> bool:
    return not point.endswith("logits")


def _spectrum(cache: Cache, signal: str) -> Spectrum:
    width = cache.manifest.signals[signal].shape[0]
    total, outer = np.zeros(width), np.zeros((width, width))
    for start in range(0, cache.rows, _ROWS):
        rows = np.arange(start, min(start + _ROWS, cache.rows))
        values = np.asarray(cache.read(rows, (signal,)).signals[signal], np.float64)
        total += values.sum(axis=0)
        outer += values.T @ values
    mean = total / cache.rows
    eigenvalues = np.clip(np.linalg.eigvalsh(outer / cache.rows - np.outer(mean, mean))[::-1], 0.0, None)
    whole = max(float(eigenvalues.sum()), 1e-300)
    effective = whole**2 / max(float(np.square(eigenvalues).sum()), 1e-300)
    return Spectrum(signal, eigenvalues / whole, effective)
