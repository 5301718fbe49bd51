"""Turns SIGINT, SIGTERM, SIGUSR1 and SIGUSR2 into a polite stop: the running block ends, work is saved, exit 75."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2") if hasattr(signal, name))


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Yield `stop()`, which is True once a signal came. A second SIGINT stops at once."""
    asked: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, hear) for number in _SIGNALS}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
