"""The command line: a table of plain functions. Exit codes: 0 done, 1 failed, 2 bad input, 75 interrupted."""

import os
import sys
from collections.abc import Callable
from typing import Any

import typer

from .commands import (
    bench_model,
    cache,
    check,
    evaluate,
    export,
    init,
    jobs,
    moderate,
    predict,
    report,
    run,
    search,
    serve,
    student,
    teacher,
    train,
)
from .console import errors
from .interruption import INTERRUPTED, Stopped, interrupted_early
from .launching.attempt import recorded_attempt

EXAMPLES = "Start with [bold]teachercache init recipe.yaml[/bold], then [bold]teachercache run recipe.yaml[/bold]."

app = typer.Typer(
    name="teachercache",
    help="Run the teacher once, train many students. " + EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
cache_app = typer.Typer(help="Build, look into, change and keep caches.", no_args_is_help=True, rich_markup_mode="rich")

teacher_app = typer.Typer(help="Look at teachers.", no_args_is_help=True, rich_markup_mode="rich")
student_app = typer.Typer(help="Look at students.", no_args_is_help=True, rich_markup_mode="rich")
search_app = typer.Typer(help="Search pictures by text or picture.", no_args_is_help=True, rich_markup_mode="rich")
moderate_app = typer.Typer(
    help="Sort out pictures by concepts with fitted thresholds.", no_args_is_help=True, rich_markup_mode="rich"
)

COMMANDS: dict[str, Callable[..., Any]] = {
    "init": init.init,
    "check": check.check,
    "train": train.train,
    "evaluate": evaluate.evaluate,
    "report": report.report,
    "export": export.export,
    "run": run.run,
    "jobs": jobs.jobs,
    "predict": predict.predict,
    "bench-model": bench_model.bench_model,
    "serve": serve.serve,
}
TEACHER_COMMANDS: dict[str, Callable[..., Any]] = {"report": teacher.report, "describe": teacher.describe}
STUDENT_COMMANDS: dict[str, Callable[..., Any]] = {"describe": student.describe, "search": student.search}
for _name, _function in COMMANDS.items():
    app.command(_name)(_function)
for _name, _function in cache.COMMANDS.items():
    cache_app.command(_name)(_function)
for _name, _function in TEACHER_COMMANDS.items():
    teacher_app.command(_name)(_function)
for _name, _function in STUDENT_COMMANDS.items():
    student_app.command(_name)(_function)
for _name, _function in search.COMMANDS.items():
    search_app.command(_name)(_function)
for _name, _function in moderate.COMMANDS.items():
    moderate_app.command(_name)(_function)
app.add_typer(cache_app, name="cache")
app.add_typer(teacher_app, name="teacher")
app.add_typer(student_app, name="student")
app.add_typer(moderate_app, name="moderate")
app.add_typer(search_app, name="search")


def main() -> None:
    """Run the command line; what went wrong becomes one message and an exit code."""
    # transformers warns once per image processor when torchvision is absent, which is as it should be here
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    with recorded_attempt():
        _run()


def _run() -> None:
    try:
        with interrupted_early():
            app()
    except (KeyboardInterrupt, Stopped):
        errors.print("[yellow]interrupted[/yellow]; the same command continues")
        sys.exit(INTERRUPTED)
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if code is None:
            raise  # a fault of ours: the traceback is what a bug report needs
        word = "[yellow]interrupted[/yellow]" if code == INTERRUPTED else "[bold red]error[/bold red]"
        errors.print(f"{word}: ", end="")
        errors.print(str(error), markup=False, soft_wrap=True)
        sys.exit(code)
