"""The command that waits for the tasks on Ray, as others see it: while it lives, its tasks are in good hands; when it
ends, Ray ends them."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from ....stages.student.files.durable_files import write_whole
from ..attempt import Attempt
from ..engine import Held, Outlook, TaskKey
from ..record import Job
from ..running_process import lives

_DRIVER = "driver.json"


def note_driver(job: Job) -> None:
    """Write which process of which machine waits for the tasks of a job."""
    write_whole(job.folder / _DRIVER, json.dumps({"host": os.uname().nodename, "pid": os.getpid()}).encode())


def held_tasks(job: Job, attempts: Mapping[str, Sequence[Attempt]]) -> Outlook:
    """Tasks that run or wait; nothing is known where the command runs on another machine."""
    driver: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        driver = json.loads((job.folder / _DRIVER).read_bytes())
    if driver and driver.get("host") != os.uname().nodename:
        return Outlook({}, False)
    held: dict[TaskKey, Held] = {}
    for stage in job.stages if lives(driver.get("pid")) else ():
        for number in range(len(stage.tasks)):
            starts = attempts.get(f"{stage.name}-{number}", ())
            ending = starts[-1].ending if starts else "again"
            if ending in ("running", "again"):
                held[stage.name, number] = "running" if ending == "running" else "waiting"
    return Outlook(held, True)
