"""The main directions of a cache's own vectors, found in one pass: what `pca` keeps once, and what it would lose."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..errors import CacheError


@dataclass(frozen=True, slots=True)
class Spectrum:
    """`variances` (width,) float64, largest first, along `directions` (width, width) float64, one a column; `mean`
    (width,) float64; of `vectors` vectors."""

    mean: np.ndarray
    variances: np.ndarray
    directions: np.ndarray
    vectors: int

    def explained(self, dimensions: int) -> float:
        """Share of the variance that the first `dimensions` directions hold; 1 of vectors that are all equal."""
        total = float(self.variances.sum())
        return float(self.variances[:dimensions].sum()) / total if total > 0 else 1.0

    def dimensions(self, variance: float) -> int:
        """The fewest directions that hold this share of the variance. Raises CacheError unless 0 < variance <= 1."""
        if not 0 < variance <= 1:
            raise CacheError(f"a share of the variance is above 0 and at most 1, not {variance}")
        if variance == 1:
            return len(self.variances)
        shares = np.cumsum(self.variances) / max(float(self.variances.sum()), np.finfo(np.float64).tiny)
        return min(int(np.searchsorted(shares, variance - 1e-12)) + 1, len(shares))

    def basis(self, dimensions: int) -> np.ndarray:
        """(width, dimensions) float32, orthonormal columns. Raises CacheError for more directions than there are."""
        if not 1 <= dimensions <= len(self.variances):
            raise CacheError(f"there are 1 to {len(self.variances)} directions, not {dimensions}")
        return np.ascontiguousarray(self.directions[:, :dimensions], np.float32)


def fit_pca(batches: Iterable[np.ndarray]) -> Spectrum:
    """The spectrum of all vectors of batches (..., width), in float64, one batch in memory at a time.

    Means and covariances of batches are merged as Chan, Golub and LeVeque (1979) do, so that a large mean costs no
    digits. The sign of a direction is such that its largest component is positive: equal values give equal bytes.
    Raises CacheError when there is no vector, and for one that is not finite.
    """
    vectors, mean, scatter = 0, np.zeros(0), np.zeros((0, 0))
    for batch in batches:
        values = np.asarray(batch, np.float64).reshape(-1, batch.shape[-1])
        if not vectors:
            mean, scatter = np.zeros(values.shape[1]), np.zeros((values.shape[1],) * 2)
        if len(values):
            vectors, mean, scatter = _merged(vectors, mean, scatter, values)
    if not vectors:
        raise CacheError("there is no vector to find main directions of")
    if not np.all(np.isfinite(scatter)):
        raise CacheError("a vector is NaN or infinite: it has no main directions; run `teachercache cache verify`")
    variances, directions = np.linalg.eigh(scatter / vectors)
    variances, directions = np.clip(variances[::-1], 0, None), directions[:, ::-1]
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=0)[None], axis=0)
    return Spectrum(mean, variances, directions * np.where(largest < 0, -1.0, 1.0), vectors)


def _merged(
    vectors: int, mean: np.ndarray, scatter: np.ndarray, values: np.ndarray
) -> tuple[int, np.ndarray, np.ndarray]:
    """Count, mean and scatter matrix with the batch's added."""
    added, batch_mean = len(values), values.mean(axis=0)
    centred, shift = values - batch_mean, batch_mean - mean
    total = vectors + added
    scatter = scatter + centred.T @ centred + np.outer(shift, shift) * (vectors * added / total)
    return total, mean + shift * (added / total), scatter
