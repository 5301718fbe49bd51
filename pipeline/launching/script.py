"""The sbatch script of an array, from a template that a person can read.

It refuses an option that would break the line it stands in: what the YAML says must not become another command.
"""

import shlex
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .errors import LaunchError
from .record import Job
from .spec import LaunchSpec
from .task import Array, Stage

_TEMPLATES = Path(__file__).parent / "templates"


def array_script(job: Job, stage: Stage, array: Array) -> str:
    """The script of those tasks of a stage. Raises LaunchError for an option with a line break in it."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["quote"] = lambda value: shlex.quote(str(value))
    return environment.get_template("array.sbatch.j2").render(
        job=job.name,
        name=f"teachercache-{stage.name}",
        stage=stage.name,
        first=array.first,
        tasks=[task.arguments for task in stage.tasks[array.first : array.first + array.count]],
        at_once=job.launch.workers,
        log=str(job.folder.absolute() / "logs" / f"{stage.name}-{array.first}+%a.log"),
        launch=job.launch,
        options=_options(job.launch, stage),
        directory=job.directory,
        folder=str(job.folder.absolute()),
        python=job.python,
    )


def script_name(stage: Stage, array: Array) -> str:
    """The file of an array's script in the folder of its job."""
    return f"{stage.name}-{array.first}.sbatch"


def _options(launch: LaunchSpec, stage: Stage) -> list[str]:
    """The options of sbatch that the settings name; writing the report needs no GPU."""
    named = {
        "partition": launch.partition,
        "account": launch.account,
        "qos": launch.qos,
        "gres": launch.gres if stage.name != "report" else None,
        "cpus-per-task": launch.cpus,
        "mem": launch.memory,
        "time": launch.time,
    }
    options = [f"--{name}={value}" for name, value in named.items() if value is not None] + list(launch.options)
    for option in options:
        if "\n" in option or not option.startswith("-"):
            raise LaunchError(
                f"launch: {option!r} is no option of sbatch; write it as on its command line, such as --nice"
            )
    return options
