"""Vectors as their coefficients along the main directions of a whole cache; mean and directions are kept once.

The directions are those of a cache's own values, so they exist only after it was built: `teachercache cache recode`
makes such a signal from another one, and a build refuses it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from array_api_compat import array_namespace, device

from ..errors import CacheError
from .codec import Array, Codec, Part
from .dense import Dense
from .int8 import Int8


@dataclass(frozen=True, slots=True)
class PCA:
    """`(x - mean) @ basis`, its `dimensions` numbers in f16, or in int8 with a float32 scale per vector.

    `mean` (width,) and `basis` (width, dimensions, orthonormal columns) are float32 numpy arrays, constants of the
    cache; without them only `parts` and `parameters` can be asked for.
    """

    dimensions: int
    keep: Literal["f16", "int8"] = "f16"
    mean: Any = None
    basis: Any = None
    name: str = "pca"
    _there: dict[tuple[Any, str], tuple[Array, Array]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"dimensions": self.dimensions, "keep": self.keep}

    def parts(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        if not shape or shape[-1] < self.dimensions:
            raise CacheError(
                f"codec pca with {self.dimensions} dimensions needs vectors of at least that width, not {shape}"
            )
        return self._codec().parts((*shape[:-1], self.dimensions))

    def encode(self, values: Array) -> dict[str, Array]:
        xp = array_namespace(values)
        mean, basis = self._constants(values)
        return self._codec().encode((xp.astype(values, xp.float32) - mean) @ basis)

    def decode(self, parts: Mapping[str, Array], shape: tuple[int, ...]) -> Array:
        coefficients: Array = self._codec().decode(parts, (*shape[:-1], self.dimensions))
        mean, basis = self._constants(coefficients)
        return coefficients @ basis.T + mean

    def error(self, values: Array, decoded: Array) -> dict[str, float]:
        """As int8's, and `unexplained`: the share of these values' variance about the cache's mean that is lost."""
        xp = array_namespace(decoded)
        values = xp.astype(values, xp.float32)
        mean, _ = self._constants(decoded)
        lost, all_of_it = xp.sum((values - decoded) ** 2), xp.sum((values - mean) ** 2)
        return {**Int8().error(values, decoded), "unexplained": float(lost / xp.clip(all_of_it, 1e-30, None))}

    def _codec(self) -> Codec:
        return Int8() if self.keep == "int8" else Dense("f16")

    def _constants(self, values: Array) -> tuple[Array, Array]:
        """Mean and basis beside `values`; moved to a device once."""
        if self.mean is None or self.basis is None:
            raise CacheError("codec pca needs the mean and basis that the cache keeps: open it with open_cache")
        xp = array_namespace(values)
        place = (xp, str(device(values)))
        if place not in self._there:
            arrays = (self.mean.copy(), self.basis.copy())  # torch warns of arrays that may not be written
            self._there[place] = tuple(xp.asarray(each, dtype=xp.float32, device=device(values)) for each in arrays)
        return self._there[place]


def build_pca(dimensions: int | None = None, keep: str = "f16", mean: Any = None, basis: Any = None) -> PCA:
    """The codec from its parameters and constants. Raises CacheError for what cannot be meant."""
    if isinstance(dimensions, bool) or not isinstance(dimensions, int) or dimensions < 1:
        raise CacheError("codec pca needs dimensions, the numbers that are kept of each vector, such as dimensions: 64")
    if keep not in ("f16", "int8"):
        raise CacheError(f"codec pca keeps its coefficients as f16 or int8, not {keep!r}")
    if mean is not None or basis is not None:
        _check_constants(dimensions, getattr(mean, "shape", None), getattr(basis, "shape", None))
    return PCA(dimensions, "f16" if keep == "f16" else "int8", mean, basis)


def _check_constants(dimensions: int, mean: Any, basis: Any) -> None:
    """Raise CacheError unless these are the shapes of a mean and a basis; None is the shape of what is no array."""
    if mean is None or basis is None or len(basis) != 2 or basis[1] != dimensions or mean != basis[:1]:
        raise CacheError(f"codec pca: a mean {mean} and a basis {basis} do not give {dimensions} dimensions")
