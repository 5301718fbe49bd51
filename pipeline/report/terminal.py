"""The result table for the terminal: the page's first table, short enough for 80 columns."""

from collections.abc import Iterable

from rich import box
from rich.table import Table
from rich.text import Text

from .collect import Report
from .figures.arms import ARM_NAMES, in_order
from .quantities import count, percent, percent_spread, points
from .results import ArmResult

_STYLES = {"distilled": "bold", "labels-only": "", "shuffled-cache": "dim"}


def result_table(report: Report) -> Table:
    """Teacher and students: accuracy, gain over labels only, share of the teacher's accuracy, agreement."""
    table = Table(
        title=Text(report.verdict.sentence),
        title_justify="left",
        title_style="bold",
        caption=Text("mean ± deviation over seeds; of a gain, over per-seed differences"),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("model, parameters", overflow="fold")  # the one column that may wrap
    for column in ("top-1 %", "gain", "kept %", "agrees %"):
        table.add_column(column, justify="right", no_wrap=True)
    teacher = report.teacher
    table.add_row(_named("teacher", teacher.evaluation.parameters.total), percent(teacher.top1), end_section=True)
    for name in report.names:
        arms = in_order(report.arms(name))
        table.add_row(_named(name, arms[0].parameters.total))
        for one in arms:
            _add_arm(table, one, len(report.config["train"]["seeds"]), last=one is arms[-1])
    return table


def problem_lines(report: Report) -> Iterable[str]:
    """One line for each failed trial, and one for those that are not trained yet."""
    for one in report.failed:
        yield f"{one.student}/{one.arm}/seed-{one.seed} failed: {one.reason}"
    if report.waiting:
        yield f"not trained yet: {', '.join(report.waiting)}"


def _named(name: str, parameters: int | None) -> Text:
    return Text.assemble(name, (f"  {count(parameters)}", "dim"))


def _add_arm(table: Table, one: ArmResult, planned: int, last: bool) -> None:
    seeds = "" if len(one.seeds) == planned else f"  {len(one.seeds)} of {planned} seeds"
    table.add_row(
        Text.assemble(f"  {ARM_NAMES[one.arm]}", (seeds, "dim not bold")),
        percent_spread(one.top1),
        points(one.gain) if one.gain else "",
        percent(one.retention.mean),
        percent(one.metrics["agreement"].mean) if "agreement" in one.metrics else "",
        style=_STYLES[one.arm],
        end_section=last,
    )
