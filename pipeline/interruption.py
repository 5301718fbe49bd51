"""Turns SIGINT, SIGTERM, SIGUSR1 and SIGUSR2 into a polite stop: the running block ends, work is saved, exit 75.

`interrupted_early` covers what comes before and after such a block: there is nothing to save, and the exit code is the
same. A process that ends in another way was killed.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: try again
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2") if hasattr(signal, name))


class Stopped(BaseException):
    """A signal came where no block is running that could end. No Exception: nobody may take it for a fault and go on;
    and no KeyboardInterrupt: click makes an exit code of its own of that."""


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Yield `stop()`, which is True once a signal came. A second SIGINT raises Stopped at once."""
    asked: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and asked:
            raise Stopped
        asked.append(number)

    with _handled(hear):
        yield lambda: bool(asked)


@contextmanager
def interrupted_early() -> Iterator[None]:
    """Within the context a signal raises Stopped."""

    def hear(number: int, frame: FrameType | None) -> None:
        raise Stopped

    with _handled(hear):
        yield


def leave_on_signals() -> None:
    """From now on a signal ends the process with code 75, at once: for the second in which modules are imported, where
    nothing is open and an exception could be swallowed."""

    def hear(number: int, frame: FrameType | None) -> None:
        os.write(2, b"interrupted; the same command continues\n")
        os._exit(INTERRUPTED)

    for number in _SIGNALS:
        signal.signal(number, hear)


@contextmanager
def _handled(hear: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, hear) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
