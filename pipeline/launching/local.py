"""This machine as an engine: a process for each task, one on each GPU at a time, or `launch.workers` on the CPU.

It waits for them. A process that is killed is started again, a few times; one that fails is not.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from ...stages.errors import Interrupted
from ..console import console
from ..interruption import INTERRUPTED
from .attempt import VARIABLE, read_attempts
from .engine import Held, Outlook, TaskKey
from .errors import LaunchFailed
from .failure import failure_text
from .record import Job
from .running_process import lives
from .task import Stage

_LOOK = 0.1  # seconds between two looks at the processes


@dataclass(slots=True)
class _Pool:
    """The processes of a stage: tasks that wait, those that run (by their place), and how the others ended."""

    waiting: list[int]
    running: dict[int, tuple[int, subprocess.Popen[bytes]]] = field(default_factory=dict)  # place -> task, process
    crashes: dict[int, int] = field(default_factory=dict)
    failed: dict[int, int] = field(default_factory=dict)
    interrupted: bool = False


class Local:
    """Processes of this machine."""

    def arrays(self, count: int) -> list[tuple[int, int]]:
        return [(0, count)]

    def preview(self, job: Job) -> str:
        lines = [f"cd {job.directory}"]
        for stage in job.stages:
            lines.append(f"# {stage.name}: {len(stage.tasks)} tasks, {_places(job)} at once")
            lines += [" ".join(job.command(stage, task)) for task in range(len(stage.tasks))]
        return "\n".join(lines)

    def launch(self, job: Job, stop: Callable[[], bool]) -> Job:
        for stage in job.stages:
            console.rule(f"{stage.name}: {len(stage.tasks)} tasks")
            failed = _run_stage(job, stage, stop)
            if failed:
                raise LaunchFailed(failure_text(job, stage, failed))
        return job

    def outlook(self, job: Job) -> Outlook:
        """Tasks whose last attempt is a process that lives; of other machines nothing is known."""
        host, held = os.uname().nodename, dict[TaskKey, Held]()
        for attempts in read_attempts(job.attempts).values():
            content = attempts[-1].content() if attempts[-1].ending == "running" else {}
            if content.get("host") == host and lives(content.get("pid")):
                stage, _, number = attempts[-1].task.rpartition("-")
                held[stage, int(number)] = "running"
        return Outlook(held, True)

    def cancel(self, job: Job) -> None:
        for attempts in read_attempts(job.attempts).values():
            content = attempts[-1].content() if attempts[-1].ending == "running" else {}
            if content.get("host") == os.uname().nodename and lives(content.get("pid")):
                with suppress(ProcessLookupError):
                    os.kill(content["pid"], signal.SIGTERM)


def _run_stage(job: Job, stage: Stage, stop: Callable[[], bool]) -> Mapping[int, int]:
    """Run all tasks; exit codes of those that failed. Raises Interrupted after its processes have ended."""
    pool, places = _Pool(list(range(len(stage.tasks)))), _places(job)
    try:
        while pool.running or (pool.waiting and not pool.interrupted):
            if stop() or (job.folder / "cancelled").exists():
                _interrupt(pool)
            for place in range(places):
                _end(job, stage, pool, place)
                if place not in pool.running and pool.waiting and not pool.interrupted:
                    task = pool.waiting.pop(0)
                    pool.running[place] = task, _start(job, stage, task, place)
            time.sleep(_LOOK)
    except BaseException:
        _interrupt(pool)
        raise
    if pool.interrupted:
        raise Interrupted(f"stopped in the stage {stage.name}; the same command continues")
    return pool.failed


def _interrupt(pool: _Pool) -> None:
    if not pool.interrupted:
        for _, process in pool.running.values():
            process.send_signal(signal.SIGTERM)
    pool.interrupted = True


def _start(job: Job, stage: Stage, task: int, place: int) -> subprocess.Popen[bytes]:
    log = job.log(stage, task)
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, VARIABLE: str(job.attempts.absolute() / f"{stage.name}-{task}")}
    gpus = _gpus()
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = gpus[place % len(gpus)]
    with log.open("ab") as output:
        # a session of its own: Ctrl-C reaches this process alone, which passes on one SIGTERM
        return subprocess.Popen(
            job.command(stage, task),
            cwd=job.directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _end(job: Job, stage: Stage, pool: _Pool, place: int) -> None:
    """Look at the process of a place, and decide what becomes of its task when it has ended."""
    if place not in pool.running or (code := pool.running[place][1].poll()) is None:
        return
    task, _ = pool.running.pop(place)
    if code == 0:
        console.print(f"[green]{stage.name}[/green] task {task}: {stage.tasks[task].title}", soft_wrap=True)
    elif code < 0 or code == INTERRUPTED:
        pool.crashes[task] = pool.crashes.get(task, 0) + 1
        if pool.crashes[task] <= job.launch.crashes:
            pool.waiting.insert(0, task)
        else:
            pool.failed[task] = code
    else:
        pool.failed[task] = code


def _places(job: Job) -> int:
    return job.launch.workers or len(_gpus()) or 1


def _gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES may name: what it names now, else every GPU of the machine."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [word.strip() for word in given.split(",") if word.strip() and word.strip() != "-1"]
    torch = sys.modules.get("torch")
    return [str(number) for number in range(torch.cuda.device_count())] if torch is not None else []
