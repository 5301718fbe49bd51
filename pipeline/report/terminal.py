"""The result table for the terminal: the page's first table, short."""

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from .collect import Report
from .figures.arms import ARM_NAMES, in_order
from .quantities import count, percent, percent_spread, points
from .results import ArmResult

_STYLES = {"distilled": "bold", "labels-only": "", "shuffled-cache": "dim"}


def result_table(report: Report) -> Table:
    """Teacher and students: accuracy, gain over labels only, retention, agreement, size."""
    table = Table(title=Text(report.verdict.sentence), title_justify="left", title_style="bold", caption_justify="left")
    table.caption = Text("mean ± standard deviation over seeds; gain and its spread from per-seed differences")
    for column in ("model", "trained from", "seeds"):
        table.add_column(column, no_wrap=column != "model")
    for column in ("top-1 %", "gain", "retained %", "agrees %", "parameters"):
        table.add_column(column, justify="right", no_wrap=True)
    teacher = report.teacher
    size = count(teacher.evaluation.parameters.total)
    table.add_row("teacher", "", "", percent(teacher.top1), "", "", "", size, end_section=True)
    for name in report.names:
        _add_student(table, in_order([one for one in report.students if one.student == name]))
    return table


def problem_lines(report: Report) -> Iterable[str]:
    """One line for each failed trial, and one for those that are not trained yet."""
    for one in report.failed:
        yield f"{one.student}/{one.arm}/seed-{one.seed} failed: {one.reason}"
    if report.waiting:
        yield f"not trained yet: {', '.join(report.waiting)}"


def _add_student(table: Table, arms: list[ArmResult]) -> None:
    for number, one in enumerate(arms):
        table.add_row(
            Text(one.student if number == 0 else ""),
            ARM_NAMES[one.arm],
            str(len(one.seeds)),
            percent_spread(one.top1),
            points(one.gain),
            percent(one.retention.mean),
            percent_spread(one.metrics.get("agreement")),
            count(one.parameters.total) if number == 0 else "",
            style=_STYLES[one.arm],
            end_section=number == len(arms) - 1,
        )
