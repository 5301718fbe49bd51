"""The result table for the terminal: the page's first table, short enough for 80 columns."""

from collections.abc import Iterable

from rich import box
from rich.table import Table
from rich.text import Text

from .collect import Report
from .figure_words import shown, shown_gain, shown_spread, with_unit
from .figures.arms import ARM_NAMES, in_order, rung_name, set_value
from .ladder import RungValue
from .quantities import count, percent
from .results import ArmResult

_STYLES = {"distilled": "bold", "labels-only": "", "shuffled-cache": "dim", "random-selection": "dim"}


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
    kind, teacher = report.kind, report.teacher
    for column in (with_unit(kind, kind.title), "gain", "kept %", *(["agrees %"] if _agreement(report) else [])):
        table.add_column(column, justify="right", no_wrap=True)
    whole = shown(kind, teacher.primary)
    table.add_row(_named("teacher", teacher.evaluation.parameters.total), whole, end_section=True)
    for name in report.names:
        arms = in_order(report.arms(name))
        table.add_row(_named(name, arms[0].parameters.total, report.swept(name)))
        for one in arms:
            _add_arm(table, one, report, last=one is arms[-1])
    return table


def ladder_table(report: Report) -> Table | None:
    """The ladder: each rung with its gain over the one before, on every held-out set; None without one."""
    if report.ladder is None:
        return None
    table = Table(title="the ladder: gain over the rung before", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("rung", overflow="fold")
    for name in (report.judged.main, *report.judged.others):
        table.add_column(with_unit(report.kind, name), justify="right", no_wrap=True)
        table.add_column("gain", justify="right", no_wrap=True)
    rows = [*report.ladder.rungs, *([report.ladder.control] if report.ladder.control else [])]
    for one in rows:
        cells = [_rung_cells(report, value) for value in one.values.values()]
        table.add_row(rung_name(one), *(cell for pair in cells for cell in pair), style=_STYLES[one.arm])
    return table


def sets_table(report: Report) -> Table | None:
    """The primary figure on every held-out set; None where there is one set."""
    if not report.judged.others:
        return None
    table = Table(title=f"{report.kind.title} on every held-out set", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("model", overflow="fold")
    for name in (report.judged.main, *report.judged.others):
        table.add_column(with_unit(report.kind, name), justify="right", no_wrap=True)
    teacher = [set_value(report, name) for name in report.judged.others]
    table.add_row("teacher", shown(report.kind, report.teacher.primary), *teacher, end_section=True)
    for one in (arm for name in report.names for arm in in_order(report.arms(name))):
        others = [shown_spread(report.kind, found.metrics[report.judged.primary]) for found in one.sets.values()]
        first = shown_spread(report.kind, one.primary)
        table.add_row(f"{one.student}, {ARM_NAMES[one.arm]}", first, *others, style=_STYLES[one.arm])
    return table


def _rung_cells(report: Report, found: RungValue) -> tuple[str, str]:
    step = shown_gain(report.kind, found.step) if found.step is not None else ""
    return shown_spread(report.kind, found.value), step


def problem_lines(report: Report) -> Iterable[str]:
    """One line for each failed trial, and one for those that are not trained yet."""
    for one in report.failed:
        yield f"{one.student}/{one.arm}/seed-{one.seed} failed: {one.reason}"
    for line in report.stopped:
        yield f"stopped at a rung: {line}"
    if report.waiting:
        yield f"not trained yet: {', '.join(report.waiting)}"


def _named(name: str, parameters: int | None, swept: str = "") -> Text:
    return Text.assemble(name, (f"  {count(parameters)}{f'  {swept}' if swept else ''}", "dim"))


def _agreement(report: Report) -> bool:
    return any("agreement" in one.metrics for one in report.students)


def _add_arm(table: Table, one: ArmResult, report: Report, last: bool) -> None:
    kind, planned = report.kind, len(report.config["train"]["seeds"])
    agreement = percent(one.metrics["agreement"].mean) if "agreement" in one.metrics else ""
    seeds = "" if len(one.seeds) == planned else f"  {len(one.seeds)} of {planned} seeds"
    table.add_row(
        Text.assemble(f"  {ARM_NAMES[one.arm]}", (seeds, "dim not bold")),
        shown_spread(kind, one.primary),
        shown_gain(kind, one.gain) if one.gain else "",
        percent(one.retention.mean) if one.retention else "",
        *([agreement] if _agreement(report) else []),
        style=_STYLES[one.arm],
        end_section=last,
    )
