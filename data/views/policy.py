"""Which views a sample has: drawn from (seed, sample id, view number), replayed from the parameters alone.

View 0 is the plain image. Replay needs neither the seed nor the number of the view, so a cache that stores the
parameters gives the same pixels years later. It refuses to draw what it does not store.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import DataError
from ..fingerprint import JSON
from ..spec import ViewsSpec
from .draw import streams
from .operations import OPERATIONS, Crop, Mixing, Operation
from .operations.mixing import ALONE, partner_places
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
    def operations(self) -> tuple[Operation | Mixing, ...]:
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

    @cached_property
    def mixes(self) -> bool:
        """Whether a view may hold two samples."""
        return any(isinstance(operation, Mixing) for operation in self.operations)

    def draw(self, ids: Sequence[str], start: int = 0, among: int | None = None) -> np.ndarray:
        """Parameters float64 (len(ids) * count, P): row r is sample r // count under view first + r % count.

        The samples stand at `start`, `start` + 1, ... of a shard of `among` samples: of them a partner is drawn. Left
        out, they are the whole shard.
        """
        rows = np.empty((len(ids), self.count, len(self.identity)), dtype=np.float64)
        plain = 1 if self.first == 0 else 0
        rows[:, :plain] = self.identity
        if self.count > plain and self.operations and len(ids):
            places = np.repeat(np.arange(start, start + len(ids)), self.count - plain)
            drawn = self._drawn(ids, plain, places, len(ids) if among is None else among)
            rows[:, plain:] = drawn.reshape(len(ids), self.count - plain, -1)
        return rows.reshape(len(ids) * self.count, len(self.identity))

    def partners(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of parameters (n, P): the partner's place in the shard, int64 (n,), -1 for a view of one sample, and how much
        of each view is the sample's own, float64 (n,)."""
        partner, share = np.full(len(parameters), -1, np.int64), np.ones(len(parameters))
        for operation, columns in self._columns():
            if isinstance(operation, Mixing):
                own = parameters[:, columns]
                partner = np.where(own[:, 0] >= 0, own[:, 0], partner).astype(np.int64)
                share *= operation.shares(own, self.size)
        return partner, share

    def replay(self, image: np.ndarray, parameters: np.ndarray, partner: np.ndarray | None = None) -> np.ndarray:
        """The view uint8 (size, size, channels) of `image` uint8 (height, width, channels), from float64 (P,).

        `partner` is the image of the sample at `partners(parameters)`, needed where there is one; what comes before the
        mixing is done to both alike. A pure function of its arguments; it may return `image` itself. Raises DataError
        for shapes that do not meet, and a partner that is missing.
        """
        self._check(image, parameters)
        values = parameters.tolist()
        images = [image] if partner is None else [image, partner]
        if not any(isinstance(operation, Crop) for operation in self.operations):
            images = [plain(each, self.size) for each in images]
        for operation, columns in self._columns():
            own = values[columns]
            if not isinstance(operation, Mixing):
                images = [operation.replay(each, own, self.size) for each in images]
            elif own[0] >= 0:
                if len(images) < 2:
                    raise DataError(
                        f"this view holds the sample at place {own[0]:g} of its shard too: give its image as well"
                    )
                images = [operation.mix(images[0], images[1], own)]
        return images[0]

    def _columns(self) -> Iterator[tuple[Operation | Mixing, slice]]:
        """Each operation with where its parameters stand."""
        start = 0
        for operation in self.operations:
            yield operation, slice(start, start := start + len(operation.columns))

    def _drawn(self, ids: Sequence[str], skipped: int, places: np.ndarray, among: int) -> np.ndarray:
        """One sample has one partner at most: what mixes later in the policy leaves mixed views alone."""
        numbers = streams(self.spec.seed, ids, range(self.first + skipped, self.first + self.count))
        drawn, mixed = [], np.zeros(len(places), bool)
        for place, operation in enumerate(self.operations):
            own = operation.draw(numbers.uniforms(place, len(operation.columns)))
            if isinstance(operation, Mixing):
                own[:, 0] = partner_places(own[:, 0], places, among)
                own[mixed | (own[:, 0] == ALONE)] = operation.identity
                mixed |= own[:, 0] >= 0
            drawn.append(own)
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
