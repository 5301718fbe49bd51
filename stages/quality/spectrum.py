"""How many dimensions an embedding really uses: the eigenvalues of its covariance."""

from dataclasses import dataclass

import numpy as np

from ...cache import Cache
from ...cache.codecs.spectrum import fit_pca
from ...cache.rewriting.dense import all_vectors

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
    found = fit_pca(all_vectors(cache, signal)).variances
    whole = max(float(found.sum()), 1e-300)
    effective = whole**2 / max(float(np.square(found).sum()), 1e-300)
    return Spectrum(signal, found / whole, effective)
