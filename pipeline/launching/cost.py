"""What the jobs of a run have cost, over every start of every task: also those that were interrupted or killed."""

from dataclasses import dataclass
from pathlib import Path

from .attempt import read_attempts
from .record import job_folders


@dataclass(frozen=True, slots=True)
class JobsCost:
    """`starts` of tasks, `restarts` among them, their `seconds` together, and `gpu_seconds`: each start's seconds times
    the GPUs that it held. A start that was killed counts up to its last record, at most half a minute short."""

    starts: int
    restarts: int
    seconds: float
    gpu_seconds: float


def jobs_cost(run: Path) -> JobsCost | None:
    """The cost of all jobs recorded in a run's folder; None when none was launched. Writing the report, which is still
    going on when this is asked, is left out."""
    starts = restarts = 0
    seconds = gpu_seconds = 0.0
    for folder in job_folders(run):
        for task, attempts in read_attempts(folder / "attempts").items():
            if task.startswith("report-"):
                continue
            starts, restarts = starts + len(attempts), restarts + len(attempts) - 1
            for content in (attempt.content() for attempt in attempts):
                lasted = float(content.get("seconds", 0.0))
                seconds, gpu_seconds = seconds + lasted, gpu_seconds + lasted * float(content.get("gpus", 0))
    return JobsCost(starts, restarts, seconds, gpu_seconds) if starts else None
