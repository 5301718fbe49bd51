"""torch's threads where the teacher runs on a CPU, so that it and the loader workers do not fight for the cores.

A worker computes with one thread. How much of a core the workers need is measured on the first batches, and the
teacher gets the rest. OMP_NUM_THREADS in the environment is the user's word, and nothing is changed then.
"""

import os

import torch

from ..spec import TeacherSpec

_VARIABLE = "OMP_NUM_THREADS"


class Threads:
    """Sets them for one run of the teacher, until `restore`. `sharers` runs share the cores of this machine."""

    def __init__(self, spec: TeacherSpec, device: torch.device, sharers: int = 1) -> None:
        self._before, self._workers = torch.get_num_threads(), spec.workers
        self._cores = max(1, available_cores() // sharers)
        self._given = spec.threads
        self._ours = device.type == "cpu" and _VARIABLE not in os.environ and spec.threads is None
        if spec.threads is not None:
            torch.set_num_threads(spec.threads)
        elif self._ours:
            torch.set_num_threads(self._cores)

    @property
    def measuring(self) -> bool:
        """Whether `settle` would change anything."""
        return self._ours and self._workers > 0 and self._cores > 1

    def settle(self, preparing: float, passing: float) -> None:
        """Leave the workers what they need: `preparing` are CPU seconds of a worker for a batch, `passing` seconds of
        the teacher for it on all cores. Does nothing where the number was given."""
        if self.measuring:
            torch.set_num_threads(teacher_threads(self._cores, self._workers, preparing, passing))

    def remark(self) -> str:
        """What was decided, for people."""
        count = torch.get_num_threads()
        if self._given is not None:
            return f"threads: {count}, as teacher.threads says"
        if not self._ours:
            said = os.environ.get(_VARIABLE)
            return f"threads: {count}, as {_VARIABLE} says" if said else ""
        return f"threads: {count} for the teacher, 1 for each of {self._workers} workers, on {self._cores} cores"

    def restore(self) -> None:
        """As it was before."""
        torch.set_num_threads(self._before)


def teacher_threads(cores: int, workers: int, preparing: float, passing: float) -> int:
    """With t threads a batch takes the teacher passing * cores / t, in which the workers need `preparing` of a core:
    both fill the cores at t = cores * F / (F + preparing), F = passing * cores. The workers have at most one core each,
    the teacher at least one."""
    work = passing * cores
    share = work / (work + preparing) if work + preparing > 0 else 1.0
    return max(1, cores - workers, round(cores * share))


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
