"""Several processes build one cache side by side, one a device, each over `shards[rank::world]` of the missing shards.

The first of them begins the cache. One that fails is reported with its shard, and the others finish. A signal, or the
end of the process that started them, stops them all after the batch in work.
"""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from ...errors import Interrupted, StageError, StageFailed
from ..job import CacheJob
from .run import Result, Run, Turn
from .stopped import Stopped

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2") if hasattr(signal, name))
_LOOK = 0.2  # seconds between two looks at whether to stop
_GRACE = 30.0  # seconds for the batch in work, when this process itself must leave


@dataclass(frozen=True, slots=True)
class Fault:
    """What ended a process before its time; `code` is the exit code that its error asks for, 75 for a stop."""

    device: str
    shard: str
    message: str
    code: int

    def __str__(self) -> str:
        return f"on {self.device}, shard {self.shard}: {self.message}"


class _Worker:
    """One process as its starter sees it."""

    def __init__(self, context: Any, rank: int, job: CacheJob, device: str, shards: Sequence[str], events: Any) -> None:
        self.device, self.shard, self.rows = device, shards[0], 0
        self.result: Result | None = None
        self.fault: Fault | None = None
        self.ears, mouth = context.Pipe(duplex=False)
        arguments = (mouth, *events, job, device, list(shards), rank)
        self.process = context.Process(target=_work, args=arguments, name=f"teacher-{rank}")
        with _blocked_signals():  # until it has handlers of its own
            self.process.start()
        mouth.close()

    def hear(self) -> bool:
        """Take what it has to say; False when it has said the last."""
        try:
            kind, value = self.ears.recv()
        except (EOFError, OSError):
            self.process.join()
            if self.result is None and self.fault is None:
                how = f"signal {-self.process.exitcode}" if self.process.exitcode < 0 else "no word"
                self.fault = Fault(self.device, self.shard, f"the process ended with {how}", 1)
            return False
        if kind == "rows":
            self.shard, self.rows = value
        elif kind == "result":
            self.result = value
        else:
            self.fault = value
        return True


def run_processes(
    job: CacheJob,
    devices: Sequence[str],
    shards: Sequence[str],
    progress: Callable[[int], None],
    stop: Callable[[], bool],
) -> list[Result]:
    """Build `shards` with one process for each of `devices`.

    Raises StageFailed (StageError where all of them met bad input) naming what failed, when the others have finished;
    Stopped when `stop` says so.
    """
    context, world = get_context("spawn"), len(devices)  # CUDA does not survive a fork
    events = halt, begun, _ = context.Event(), context.Event(), world
    job.teacher_identity  # hashed once, and handed over  # noqa: B018
    workers = [_Worker(context, rank, job, device, shards[rank::world], events) for rank, device in enumerate(devices)]
    try:
        _listen(workers, halt, begun, progress, stop)
    finally:
        halt.set()
        begun.set()
        for worker in workers:
            worker.process.join(_GRACE)
            worker.process.kill()
    _raise_faults([worker.fault for worker in workers if worker.fault is not None], workers)
    return [worker.result for worker in workers if worker.result is not None]


def _listen(
    workers: list[_Worker], halt: Any, begun: Any, progress: Callable[[int], None], stop: Callable[[], bool]
) -> None:
    """Until all have said the last."""
    speaking = {worker.ears: worker for worker in workers}
    while speaking:
        if stop():
            halt.set()
        for ears in wait(list(speaking), _LOOK):
            worker = speaking[ears]
            if not worker.hear():
                del speaking[worker.ears]
                if worker is workers[0]:
                    begun.set()  # if it has not begun the cache, nobody will
        progress(sum(worker.rows for worker in workers))


def _raise_faults(faults: list[Fault], workers: list[_Worker]) -> None:
    failed = [fault for fault in faults if fault.code != Interrupted.exit_code]
    if failed:
        kind = StageError if all(fault.code == StageError.exit_code for fault in faults) else StageFailed
        several = f"{len(failed)} of {len(workers)} processes failed; what the others finished is kept: "
        raise kind(several + "; ".join(map(str, failed)))
    if faults:
        raise Stopped("; ".join(map(str, faults)))


def _work(
    mouth: Connection, halt: Any, begun: Any, world: int, job: CacheJob, device: str, shards: list[str], rank: int
) -> None:
    """What a process does."""
    asked: list[int] = []
    for number in _SIGNALS:
        signal.signal(number, lambda number, frame: asked.append(number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    starter = parent_process()

    def stop() -> bool:
        return bool(asked) or halt.is_set() or (starter is not None and not starter.is_alive())

    def wait_turn() -> None:
        while rank and not begun.wait(_LOOK):
            if stop():
                raise Interrupted("stopped before a row was heard")

    run: Run | None = None
    try:
        if device.startswith("cuda"):
            torch.cuda.set_device(device)  # pinned memory would else hold a part of the first GPU
        turn = Turn(wait_turn, begun.set if rank == 0 else lambda: None, world)
        run = Run(job, shards, torch.device(device), lambda rows: mouth.send(("rows", (run.shard, rows))), stop, turn)  # type: ignore[union-attr]
        mouth.send(("result", run.result()))
    except Exception as error:
        code = getattr(error, "exit_code", None)
        message = str(error) if code else f"{type(error).__name__}: {error}"
        mouth.send(("fault", Fault(device, run.shard if run else shards[0], message, code or 1)))
        if code is None:
            raise  # a fault of ours: the traceback is wanted
    finally:
        mouth.close()


@contextmanager
def _blocked_signals() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
