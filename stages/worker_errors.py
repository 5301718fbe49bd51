"""Errors that are for the user, out of a loader's worker processes: raised here as they were raised there.

torch would wrap them in a traceback of the worker. It leaves faults of ours wrapped: their traceback is wanted.
"""

import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch.utils.data import Dataset


@dataclass(frozen=True, slots=True)
class WorkerError:
    """What a worker hands over in place of an item."""

    error: Exception


@dataclass(frozen=True, slots=True)
class HandsOver(Dataset[Any]):
    """A dataset whose errors with an exit code are items."""

    items: Any

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> Any:
        try:
            return self.items[number]
        except Exception as error:
            if not hasattr(error, "exit_code") or not _travels(error):
                raise
            return WorkerError(error)


def raised(items: Iterable[Any]) -> Iterator[Any]:
    """The items, in order; an error among them is raised in its place."""
    for item in items:
        if isinstance(item, WorkerError):
            raise item.error
        yield item


def _travels(error: Exception) -> bool:
    try:
        return str(pickle.loads(pickle.dumps(error))) == str(error)
    except Exception:  # whatever a class of errors does when it is copied
        return False
