"""Which views a sample has: drawn from (seed, sample id, view number), replayed from the parameters alone.

View 0 is the plain image. Replay needs neither the seed nor the number of the view, so a cache that stores the
parameters gives the same pixels years later. It refuses to draw what it does not store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import DataError
from ..fingerprint import JSON
from ..spec import ViewsSpec
from .draw import streams
from .operations import OPERATIONS, Crop, Operation
from .resize import plain

_ALGORITHM = "philox4x32-10, xxh3-128, 1"


@dataclass(frozen=True)
class ViewPolicy:
    """Views `first` to `first + count - 1` of every sample. Picklable; equal policies draw and replay equal views."""

    spec: ViewsSpec
    first: int = 0

    @property
    def count(self) -> int:
        """Views of a sample."""
        return self.spec.count

    @property
    def size(self) -> int:
        """Side of a view in pixels."""
        return self.spec.size

    @property
    def channels(self) -> int:
        return self.spec.channels

    @cached_property
    def operations(self) -> tuple[Operation, ...]:
        return tuple(OPERATIONS[operation.op](operation) for operation in self.spec.operations)

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The columns, such as "0.crop.left": place in the policy, operation, parameter. () without operations."""
        named = zip(self.spec.operations, self.operations, strict=True)
        return tuple(f"{i}.{spec.op}.{column}" for i, (spec, it) in enumerate(named) for column in it.columns)

    @cached_property
    def identity(self) -> np.ndarray:
        """float64 (P,): the parameters of the plain view, whole image, factors 1, nothing flipped. Read-only."""
        identity = np.array([value for operation in self.operations for value in operation.identity], dtype=np.float64)
        identity.setflags(write=False)
        return identity

    @cached_property
    def fingerprint(self) -> Mapping[str, JSON]:
        """Everything that pixels depend on; `keep_pixels` is where they are kept and so no part of it."""
        settings: dict[str, JSON] = self.spec.model_dump(mode="json", exclude={"keep_pixels"})
        part: dict[str, JSON] = {"first": self.first} if self.first else {}
        return {**settings, "algorithm": _ALGORITHM, **part}

    def range(self, first: int, count: int) -> "ViewPolicy":
        """The policy of `count` views from `first` on, each drawn as here. Raises DataError for views it has not."""
        if not (first >= self.first and count > 0 and first + count <= self.first + self.count):
            raise DataError(
                f"views {first} to {first + count - 1} were asked of a policy that draws views {self.first} to "
                f"{self.first + self.count - 1}: set views.count to at least {first + count}"
            )
        return ViewPolicy(self.spec.model_copy(update={"count": count}), first)

    def draw(self, ids: Sequence[str]) -> np.ndarray:
        """Parameters float64 (len(ids) * count, P): row r is sample r // count under view first + r % count."""
        rows = np.empty((len(ids), self.count, len(self.identity)), dtype=np.float64)
        plain = 1 if self.first == 0 else 0
        rows[:, :plain] = self.identity
        if self.count > plain and self.operations and len(ids):
            rows[:, plain:] = self._drawn(ids, plain).reshape(len(ids), self.count - plain, -1)
        return rows.reshape(len(ids) * self.count, len(self.identity))

    def replay(self, image: np.ndarray, parameters: np.ndarray) -> np.ndarray:
        """The view uint8 (size, size, channels) of `image` uint8 (height, width, channels), from float64 (P,).

        A pure function of its arguments; it may return `image` itself. Raises DataError for shapes that do not meet.
        """
        self._check(image, parameters)
        values = parameters.tolist()
        if not any(isinstance(operation, Crop) for operation in self.operations):
            image = plain(image, self.size)
        for operation in self.operations:
            own, values = values[: len(operation.columns)], values[len(operation.columns) :]
            image = operation.replay(image, own, self.size)
        return image

    def _drawn(self, ids: Sequence[str], skipped: int) -> np.ndarray:
        numbers = streams(self.spec.seed, ids, range(self.first + skipped, self.first + self.count))
        operations = enumerate(self.operations)
        drawn = [it.draw(numbers.uniforms(place, len(it.columns))) for place, it in operations]
        return np.concatenate(drawn, axis=1)

    def _check(self, image: np.ndarray, parameters: np.ndarray) -> None:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != self.channels:
            raise DataError(
                f"a view is made of uint8 (height, width, {self.channels}), not of {image.dtype} {image.shape}: "
                f"decode the sample with channels={self.channels}"
            )
        if parameters.shape != self.identity.shape:
            raise DataError(
                f"the policy has {len(self.identity)} parameters a view and was given {parameters.shape}: "
                "the cache was built with other views. Replay with the views that its manifest names"
            )
