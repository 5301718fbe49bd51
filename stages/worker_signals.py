"""What a loader's worker processes do when a signal comes: they go on, and leave when their parent says so.

Terminals and batch systems send a signal to all processes at once. Whoever started the workers decides when they leave:
after the batch in work.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

_STOPS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGUSR1", "SIGUSR2") if hasattr(signal, name))


def outlive_signals(worker: int) -> None:
    """The `worker_init_fn` of a DataLoader. A SIGTERM of the parent ends the worker, as does a second of anyone.

    The parent's is how multiprocessing ends a worker whose iterator still lives: one that ignored it would never be
    joined. Where nobody can say who sent a signal (macOS), torch's own handler stays, and any SIGTERM ends the worker.
    """
    for number in _STOPS:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        Thread(target=_leave_when_told, name="leave-when-told", daemon=True).start()


@contextmanager
def held_back() -> Iterator[None]:
    """Around the start of workers: a SIGTERM waits until `outlive_signals` can judge it.

    A worker begins with the handlers of its parent, which may only take note.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave_when_told() -> None:
    first = signal.sigwaitinfo({signal.SIGTERM})
    if first.si_pid != os.getppid():
        signal.sigwaitinfo({signal.SIGTERM})
    os._exit(0)  # as torch's handler does: the parent takes any other code for a fault
