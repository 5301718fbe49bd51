"""The seam to tar shards that lie elsewhere. This room reads local files; who knows other places gives it these."""

from collections.abc import Callable, Sequence
from typing import BinaryIO, Protocol


class RemoteFile(Protocol):
    """A tar shard that is not a local file. Hashable and picklable; equal ones have the same bytes; `str` is its
    address."""

    @property
    def bytes(self) -> int:
        """Its size."""

    def open(self) -> BinaryIO:
        """A local copy of it, whose `name` is its path. Raises DataError when it cannot be had."""


# From globs and brace patterns of addresses to the files they mean, sorted by address.
RemoteFiles = Callable[[Sequence[str]], Sequence[RemoteFile]]
