"""Slurm as an engine: sbatch takes the scripts, squeue says what it holds, scancel ends it. It alone schedules.

It refuses to guess: what sbatch says goes to the user as it is, and a chain of which one part is refused is taken back.
"""

import getpass
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace

from ...stages.student.files.durable_files import write_whole
from ..console import counted
from .engine import Held, Outlook, TaskKey
from .errors import LaunchError
from .record import Job, write_job
from .script import array_script, script_name
from .task import Array, Stage

_DEFAULT_ARRAY = 1001  # Slurm's own MaxArraySize; the largest index is one less
_HELD: dict[str, Held] = {
    "PENDING": "waiting",
    "REQUEUED": "waiting",
    "REQUEUE_HOLD": "waiting",
    "CONFIGURING": "waiting",
    "RUNNING": "running",
    "COMPLETING": "running",
    "SUSPENDED": "running",
    "SIGNALING": "running",
    "STAGE_OUT": "running",
}


class Slurm:
    """The cluster that sbatch on this machine submits to."""

    def arrays(self, count: int) -> list[tuple[int, int]]:
        most = _largest_array()
        return [(first, min(most, count - first)) for first in range(0, count, most)]

    def preview(self, job: Job) -> str:
        parts = [array_script(job, stage, array) for stage in job.stages for array in stage.arrays]
        notes = [
            f"# --- {stage.name}: {counted(len(stage.tasks), 'task')} in {counted(len(stage.arrays), 'array')}"
            + (f", submitted with --dependency=afterany:<arrays of {before.name}>" if before else "")
            for before, stage in zip([None, *job.stages], job.stages, strict=False)
            for _ in stage.arrays
        ]
        return "\n".join(f"{note}\n{part}" for note, part in zip(notes, parts, strict=True))

    def launch(self, job: Job, stop: Callable[[], bool]) -> Job:
        _require("sbatch")
        before: list[str] = []
        try:
            for stage in job.stages:
                for array in stage.arrays:
                    job = _with_id(job, stage.name, array, _submit(job, stage, array, before))
                    write_job(job)  # after each: whatever happens to this process, `jobs` knows what was submitted
                before = [array.id for it in job.stages if it.name == stage.name for array in it.arrays]
        except LaunchError:
            self.cancel(job)
            raise
        return job

    def outlook(self, job: Job) -> Outlook:
        places = {array.id: (stage.name, array.first) for stage in job.stages for array in stage.arrays if array.id}
        try:
            lines = _call("squeue", "-h", "-r", "-u", getpass.getuser(), "-t", "all", "-o", "%i|%T").splitlines()
        except LaunchError:
            return Outlook({}, False)
        held: dict[TaskKey, Held] = {}
        for line in lines:
            found = re.fullmatch(r"(\d+)_(\d+)\|(\w+)", line.strip())
            if found and found[1] in places and found[3] in _HELD:
                stage, first = places[found[1]]
                held[stage, first + int(found[2])] = _HELD[found[3]]
        return Outlook(held, True)

    def cancel(self, job: Job) -> None:
        ids = [array.id for stage in job.stages for array in stage.arrays if array.id]
        if ids:
            _call("scancel", *ids)


def _with_id(job: Job, name: str, array: Array, id: str) -> Job:
    """The job with the id of one array."""
    stage = next(stage for stage in job.stages if stage.name == name)
    arrays = tuple(replace(array, id=id) if it.first == array.first else it for it in stage.arrays)
    return job.with_stage(replace(stage, arrays=arrays))


def _submit(job: Job, stage: Stage, array: Array, after: Sequence[str]) -> str:
    """Write the script of an array, hand it to sbatch, and return the id."""
    path = job.folder / script_name(stage, array)
    write_whole(path, array_script(job, stage, array).encode())
    # afterany: a task that ended well during its grace time counts as timed out, and afterok would wait for ever
    chain = [f"--dependency=afterany:{':'.join(after)}"] if after else []
    return _call("sbatch", "--parsable", *chain, str(path)).strip().partition(";")[0]


def _largest_array() -> int:
    """How many elements an array may have here; Slurm's default where it cannot be asked."""
    try:
        found = re.search(r"MaxArraySize\s*=\s*(\d+)", _call("scontrol", "show", "config"))
    except LaunchError:
        found = None
    return max(1, int(found[1]) - 1 if found else _DEFAULT_ARRAY - 1)


def _require(program: str) -> None:
    if shutil.which(program) is None:
        raise LaunchError(
            f"launch.engine: slurm needs {program}, which is not on this machine; submit from a login node of the "
            "cluster, or say --launch local"
        )


def _call(program: str, *arguments: str) -> str:
    """What a program of Slurm prints. Raises LaunchError with what it said when it fails."""
    _require(program)
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        raise LaunchError(f"{program} did not answer within two minutes; try again later") from None
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise LaunchError(f"{program} refused: {said or f'exit code {done.returncode}'}")
    return done.stdout
