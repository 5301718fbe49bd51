"""A teacher of four numbers that takes its time and writes down what it hears, so that work done twice is seen.

How long a pass takes stands in the file that TEACHER_PACE names: seconds, and perhaps a number of rows after which a
process waits until the file says something else, or a signal asks it to stop. What was heard is appended to the files
of the folder TEACHER_HEARD, one for each process: a line for each row, the number of its shard. Neither changes what it
says.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor, nn


class SlowTeacher(nn.Module):
    """logits (B, 3) of x (B, 4), whose first number is that of the shard."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(4, 3)
        self.rows = 0

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        pace, heard = os.environ.get("TEACHER_PACE"), os.environ.get("TEACHER_HEARD")
        if pace:
            _take_time(Path(pace), self.rows)
        self.rows += len(x)
        if heard:
            with Path(heard, f"{os.getpid()}").open("a") as file:
                file.writelines(f"{int(shard)}\n" for shard in x[:, 0].tolist())
        return {"logits": self.out(x)}


def _take_time(file: Path, rows: int) -> None:
    """Return when the pass may end. In small steps: what the file says may change meanwhile."""
    began = time.monotonic()
    with _signals() as told:
        while True:
            seconds, *most = file.read_text().split()
            held = bool(most) and rows >= int(most[0]) and not told
            if time.monotonic() - began >= float(seconds) and not held:
                return
            time.sleep(0.02)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """The numbers of signals that came meanwhile, which are passed on to whoever listens."""
    told: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}

    def hear(number: int, frame: FrameType | None) -> None:
        told.append(number)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number in before:
        signal.signal(number, hear)
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def slow_teacher() -> SlowTeacher:
    torch.manual_seed(0)
    return SlowTeacher()
