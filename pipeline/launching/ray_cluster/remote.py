"""What a worker of Ray does with a task: it starts the command line, waits, and passes on a request to stop.

The command is a process of its own, because it listens to signals and lets go of its GPU when it ends. It does not
outlive its worker for long: when that is killed, the system tells the command to stop.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ...interruption import INTERRUPTED
from ..attempt import GPUS_VARIABLE, VARIABLE

_LOOK = 0.5  # seconds between two looks at whether Ray wants the task to stop
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


class TaskStopped(Exception):
    """The command was killed, or stopped when it was asked to: worth another start."""


def run_task(arguments: Sequence[str], directory: str, log: str, record: str, gpus: float) -> int:
    """Run `teachercache <arguments>` with this worker's Python in `directory`, its output appended to `log`, its start
    recorded under `record` as one that holds so many `gpus`; the exit code. Raises TaskStopped when it should be
    started again."""
    if not Path(log).parent.is_dir() or not Path(directory).is_dir():
        raise FileNotFoundError(
            f"{socket.gethostname()} does not see {Path(log).parent} and {directory}: the machines of a Ray cluster "
            "need a file system that they share, with the output and the configuration on it"
        )
    with open(log, "ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "teachercache", *arguments],
            cwd=directory,
            env={**os.environ, VARIABLE: record, GPUS_VARIABLE: f"{gpus:g}"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_dies_with(os.getpid()),
        )
    code = _wait(process)
    if code == INTERRUPTED or code < 0:
        raise TaskStopped(f"exit code {code}")
    return code


def _wait(process: subprocess.Popen[bytes]) -> int:
    """The exit code. When Ray cancels this task, which it does by an exception, the command is asked to stop first."""
    try:
        while True:
            with suppress(subprocess.TimeoutExpired):
                return process.wait(_LOOK)
    except BaseException:
        process.terminate()
        process.wait()
        raise


def _dies_with(worker: int) -> Callable[[], None] | None:
    """What the new process does first: ask for a SIGTERM at the end of its worker. Linux alone can do that."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl  # found before the fork, after which little is safe

    def ask() -> None:
        prctl(_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != worker:
            os._exit(INTERRUPTED)

    return ask
