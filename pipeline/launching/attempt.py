"""A start of a task, recorded by the task itself: who runs it, for how long, how it ended.

The file's name says which task it is, the how many-th start, and how that ended, so that a listing of the folder alone
tells the state of thousands of tasks. A process that is killed leaves `running` behind, and within half a minute how
long it ran. Seconds are of a monotonic clock: a machine whose clock is wrong counts them right.

It refuses to be in the way: a disk that does not take the record does not end the work.
"""

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from ..interruption import INTERRUPTED

VARIABLE = "TEACHERCACHE_TASK"  # <job folder>/attempts/<stage>-<number of the task>
GPUS_VARIABLE = "TEACHERCACHE_GPUS"  # how many the engine counts for this task; may be less than one
_BEAT = 30.0  # seconds between two writes of a record
Ending = Literal["running", "finished", "again", "failed"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the name of a record says: the task `<stage>-<n>`, its how many-th start (0 is the first), its ending."""

    path: Path
    task: str
    number: int
    ending: Ending

    def content(self) -> dict[str, Any]:
        """The record: `host`, `pid`, `job` (the scheduler's id), `started` (Unix seconds by that host's clock),
        `seconds`, `gpus`, `code`, `said`. Empty when it is gone or cut short."""
        with suppress(OSError, ValueError):
            found = json.loads(self.path.read_bytes())
            return found if isinstance(found, dict) else {}
        return {}


def read_attempts(folder: Path) -> dict[str, list[Attempt]]:
    """The attempts of each task, in the order of their starts. Opens no file."""
    found: dict[str, list[Attempt]] = {}
    with suppress(FileNotFoundError):
        for name in os.listdir(folder):
            parts = name.split(".")
            if len(parts) == 4 and parts[1].isdigit():  # temporary files begin with a dot, and have more parts
                found.setdefault(parts[0], []).append(
                    Attempt(folder / name, parts[0], int(parts[1]), _ENDINGS.get(parts[3], "running"))
                )
    for attempts in found.values():
        attempts.sort(key=lambda attempt: (attempt.number, attempt.path.name))
    return found


@contextmanager
def recorded_attempt() -> Iterator[None]:
    """Record what happens within the context, when an engine has said (in the environment) which task this is."""
    place = os.environ.get(VARIABLE)
    if not place:
        yield
        return
    os.environ.pop(VARIABLE)  # what the task itself starts is no attempt of its own
    with _Recording(Path(place)):
        yield


_ENDINGS: dict[str, Ending] = {"running": "running", "finished": "finished", "again": "again", "failed": "failed"}


class _Recording:
    """Writes the record at the start, every half minute, and at the end under its last name."""

    def __init__(self, place: Path) -> None:
        self._folder, self._started = place.parent, time.monotonic()
        before = len(read_attempts(self._folder).get(place.name, []))
        self._name = f"{place.name}.{before}.{uuid4().hex[:8]}"
        self._over = threading.Event()
        self._content: dict[str, Any] = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "job": _scheduler_id(),
            "started": time.time(),
            "code": None,
            "said": "",
        }
        self._beats = threading.Thread(target=self._beat, name="attempt-record", daemon=True)

    def __enter__(self) -> None:
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
        self._write()
        self._beats.start()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._over.set()
        self._beats.join()
        code = error.code if isinstance(error, SystemExit) else int(error is not None)
        cause = error.__context__ if isinstance(error, SystemExit) else error
        self._content |= {"code": code or 0, "said": str(cause or "")[:2000] if code else ""}
        self._write()
        ending = {0: "finished", INTERRUPTED: "again"}.get(self._content["code"], "failed")
        with suppress(OSError):
            os.rename(self._path, self._folder / f"{self._name}.{ending}")

    @property
    def _path(self) -> Path:
        return self._folder / f"{self._name}.running"

    def _beat(self) -> None:
        while not self._over.wait(_BEAT):
            self._write()

    def _write(self) -> None:
        self._content |= {"seconds": round(time.monotonic() - self._started, 3), "gpus": _gpus()}
        temporary = self._folder / f".{self._name}.tmp"
        with suppress(OSError):
            temporary.write_text(json.dumps(self._content))
            os.replace(temporary, self._path)


def _scheduler_id() -> str:
    array, element = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{element}" if array else os.environ.get("SLURM_JOB_ID", "")


def _gpus() -> float:
    """GPUs that this process holds: those the queue gave it, else the one it computes on."""
    with suppress(ValueError):
        return float(os.environ.get(GPUS_VARIABLE, ""))
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return len([word for word in given.split(",") if word.strip() and word.strip() != "-1"])
    torch = sys.modules.get("torch")
    return int(torch is not None and torch.cuda.is_initialized())
