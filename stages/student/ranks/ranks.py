"""The processes that train together, as one of them sees the others. Alone, nothing here waits for anybody.

Every process calls the same methods in the same order. What one of them cannot do, none of them has done: errors are
told to all, so that nobody waits for a process that has given up. One that is gone altogether is RanksLost.
"""

import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
import xxhash
from torch import Tensor

from ...errors import StageFailed
from ..trial.failure import NO_MEMORY, failure_reason
from .division import Division

_T = TypeVar("_T")


class RankFailed(StageFailed):
    """Something went wrong in one of the processes, and is raised in all: `reason` in a line, and the traceback."""

    def __init__(self, rank: int, reason: str, details: str) -> None:
        super().__init__(f"{reason} (rank {rank})")
        self.reason, self.details = str(self), details

    @property
    def no_memory(self) -> bool:
        """Whether memory was what it lacked."""
        return self.reason.startswith(NO_MEMORY)


class RanksLost(StageFailed):
    """A process of this training is gone."""


class Ranks:
    """Process `rank` of `size`; those beside it are reached through torch.distributed's default group."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    @property
    def division(self) -> Division:
        """Which rows of a batch are this process's."""
        return Division(self.rank, self.size)

    def attempt(self, action: Callable[[], _T]) -> _T:
        """What `action` returns. Raises RankFailed in every process when it failed in one; alone, just its error."""
        if self.size == 1:
            return action()
        told: tuple[int, str, str] | None = None
        found: _T | None = None
        try:
            found = action()
        except (RankFailed, RanksLost):  # all have heard of it already
            raise
        except Exception as error:
            told = self.rank, failure_reason(error), traceback.format_exc()
        if self.any(told is not None):
            raise RankFailed(*next(one for one in self._all(told) if one is not None))
        return cast(_T, found)

    def any(self, asked: bool) -> bool:
        """Whether some process says yes."""
        return asked if self.size == 1 else bool(self.largest([int(asked)])[0])

    def largest(self, numbers: Sequence[int]) -> list[int]:
        """The largest of all processes, number by number; all give as many."""
        return self._reduced(numbers, dist.ReduceOp.MAX)

    def total(self, numbers: Sequence[int]) -> list[int]:
        """The sums over all processes, number by number; all give as many."""
        return self._reduced(numbers, dist.ReduceOp.SUM)

    def first_says(self, make: Callable[[], _T]) -> _T:
        """What `make` gives in the first process, in all of them: for what is read from, and written to, files."""
        if self.size == 1:
            return make()
        told: list[Any] = [None]
        failure: Exception | None = None
        if self.is_first:
            try:
                told = [("found", make())]
            except Exception as error:
                failure, told = error, [("failed", str(error))]
        with _lost():
            dist.broadcast_object_list(told, 0)
        if failure is not None:
            raise failure
        word, found = told[0]
        if word == "failed":
            raise StageFailed(found)
        return cast(_T, found)

    def wait(self) -> None:
        """Go on when every process has come here."""
        self.any(False)

    def alike(self, tensors: Iterable[Tensor]) -> bool:
        """Whether every process holds the same bytes. Waits for the device."""
        if self.size == 1:
            return True
        digest = xxhash.xxh3_64()
        for tensor in tensors:
            digest.update(_bytes(tensor.detach().cpu()).numpy().tobytes())
        number = digest.intdigest() >> 2
        most, least = self.largest([number, -number])
        return most == -least

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Give each tensor its sum over all processes, the same bits everywhere; all have tensors of these shapes."""
        for group in _groups(tensors) if self.size > 1 else ():
            flat = torch.cat([tensor.reshape(-1) for tensor in group])
            with _lost():
                dist.all_reduce(flat)
            for tensor, part in zip(group, flat.split([one.numel() for one in group]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def follow(self, tensors: Sequence[Tensor]) -> None:
        """Give each tensor the values that the first process has; all have tensors of these shapes."""
        for group in _groups(tensors) if self.size > 1 else ():
            parts = [_bytes(tensor.detach()) for tensor in group]
            flat = torch.cat(parts)
            with _lost():
                dist.broadcast(flat, 0)
            for tensor, part in zip(group, flat.split([len(one) for one in parts]), strict=True):
                tensor.detach().copy_(part.clone().view(tensor.dtype).view_as(tensor))

    def _reduced(self, numbers: Sequence[int], how: "dist.ReduceOp.RedOpType") -> list[int]:
        if self.size == 1:
            return list(numbers)
        told = torch.tensor(list(numbers), dtype=torch.int64)  # on the CPU: no device is waited for
        with _lost():
            dist.all_reduce(told, how)
        return [int(number) for number in told.tolist()]

    def _all(self, one: _T) -> list[_T]:
        """What every process gives, by rank."""
        found: list[Any] = [None] * self.size
        with _lost():
            dist.all_gather_object(found, one)
        return cast(list[_T], found)


ALONE = Ranks()


@contextmanager
def _lost() -> Iterator[None]:
    """What torch.distributed says of a connection that broke becomes RanksLost."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise RanksLost(
            "a process of this training has ended without a word, and the others with it; the same command continues "
            f"from the newest checkpoints ({str(error).strip().splitlines()[0]})"
        ) from error


def _groups(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    """Tensors of one type on one device, in their order: they go together."""
    found: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    for tensor in tensors:
        if tensor.numel():
            found.setdefault((tensor.dtype, tensor.device), []).append(tensor)
    return list(found.values())


def _bytes(tensor: Tensor) -> Tensor:
    """The values as uint8 (n,)."""
    return tensor.reshape(-1).contiguous().view(torch.uint8)
