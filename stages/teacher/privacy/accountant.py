"""What an accountant library says of a release: epsilon at a delta.

Whatever changes in a client's private data, one training example or all of them, a clipped row moves by at most
2 * clip. So with noise of standard deviation noise * clip each row is a Gaussian mechanism of noise multiplier
noise / 2, and n of them together are one of noise / (2 sqrt(n)) (Dong, Roth & Su 2022, arXiv 1905.02383, corollary 2).
"""

from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from math import sqrt

from ...errors import StageError


def multiplier(noises: Sequence[float], rows: int) -> float:
    """Noise over sensitivity of a release of `rows` rows of each of several signals, as one Gaussian mechanism."""
    return 1 / sqrt(sum(rows * (2 / noise) ** 2 for noise in noises))


def epsilon(noises: Sequence[float], rows: int, delta: float) -> float:
    """The epsilon at `delta` of such a release, exact for the Gaussian mechanism (Balle & Wang 2018, arXiv 1805.06530).

    Raises StageError where the library is not installed.
    """
    try:
        library = import_module("dp_accounting")
    except ImportError as error:
        raise StageError(
            "cache.signals: `private` needs dp-accounting, which says the epsilon: pip install 'teachercache[privacy]'"
        ) from error
    return float(library.get_epsilon_gaussian(multiplier(noises, rows), delta)) if rows else 0.0


def accountant_name() -> str:
    """The library and its version."""
    return f"dp-accounting {version('dp-accounting')}"
