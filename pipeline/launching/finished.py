"""What is finished, asked of the things themselves: receipts of shards, saved students. No torch, no samples."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...cache import CacheError
from ...cache.format.manifest import read_manifest
from ...cache.format.receipt import receipt_name
from ...cache.grid.extension import extension_folder, extension_names, read_extension
from ...cache.storage.address import open_store
from ...cache.storage.store import Store
from .task import Task

_STUDENT, _FAILED, _STOPPED = "student.json", "failed.json", "stopped.json"


class FinishedShards:
    """Which shards of a cache have receipts, as one listing of each of its folders says: base and extensions."""

    def __init__(self, address: str) -> None:
        self._before = np.zeros(1, np.int64)  # finished shards among the first n
        try:
            store = open_store(address)
            shards = read_manifest(store).shards
            finished = _receipts(store, {shard: number for number, shard in enumerate(shards)})
            for name in extension_names(store):
                own = set(read_extension(store, name).shards)
                outside = np.array([shard not in own for shard in shards])
                places = {shard: number for number, shard in enumerate(shards) if shard in own}
                finished &= outside | _receipts(store.below(extension_folder(name)), places, len(shards))
        except CacheError:  # not begun yet: nothing is finished
            return
        self._before = np.concatenate([[0], np.cumsum(finished)])

    def count(self, text: str) -> tuple[int, int]:
        """Finished shards among those that a text such as "0-3,7" names, and how many it names."""
        done = total = 0
        for first, _, last in (part.partition("-") for part in text.split(",")):
            start, stop = int(first), int(last or first) + 1
            edge = len(self._before) - 1
            done += int(self._before[min(stop, edge)] - self._before[min(start, edge)])
            total += stop - start
        return done, total


def _receipts(store: Store, places: Mapping[str, int], count: int | None = None) -> np.ndarray:
    """bool (count,): whether the shard at each place has a receipt."""
    found = np.zeros(len(places) if count is None else count, np.bool_)
    head, tail = receipt_name("\0").removeprefix("receipts/").split("\0")
    names = (entry.name.removeprefix(head).removesuffix(tail) for entry in store.entries("receipts"))
    found[[places[name] for name in names if name in places]] = True
    return found


def finished_trials(task: Task, students: Path) -> tuple[int, int, int]:
    """Trials of a task that are finished (or were stopped as weak ones), that have failed, and all."""
    folders = [students / trial for trial in task.trials]
    finished = [(folder / _STUDENT).exists() or (folder / _STOPPED).exists() for folder in folders]
    failed = [not done and (folder / _FAILED).exists() for done, folder in zip(finished, folders, strict=True)]
    return sum(finished), sum(failed), len(folders)
