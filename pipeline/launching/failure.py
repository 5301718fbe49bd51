"""What an engine that waits says of tasks that failed, for people."""

from collections.abc import Mapping

from .log import last_lines
from .record import Job
from .task import Stage


def failure_text(job: Job, stage: Stage, failed: Mapping[int, object]) -> str:
    """Which tasks of a stage failed, how (an exit code, or words), and the last lines of each log."""
    lines = [f"{len(failed)} of {len(stage.tasks)} tasks of the stage {stage.name} failed:"]
    for task, how in list(failed.items())[:10]:
        said = last_lines(job.log(stage, task), 3)
        what = f"exit code {how}" if isinstance(how, int) else how
        lines.append(f"  task {task} ({stage.tasks[task].title}), {what}: {' '.join(said)}")
    return "\n".join([*lines, f"The whole output is in {job.folder / 'logs'}; the same command tries them again"])
