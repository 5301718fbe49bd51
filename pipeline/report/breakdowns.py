"""Figures by the values of a field, as tables: a row a value, a column for the teacher and for each student and arm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .collect import Report
from .evaluation import Breakdown
from .figures.arms import ARM_NAMES, in_order


@dataclass(frozen=True, slots=True)
class BreakdownTable:
    """One table: `rows` are (value, samples, a share for each column; None where a model has none)."""

    title: str
    by: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, int, tuple[float | None, ...]], ...]


def breakdown_tables(report: Report) -> list[BreakdownTable]:
    """The tables of the main set, then those of the others."""
    arms = [one for name in report.names for one in in_order(report.arms(name))]
    columns = ("Teacher", *(f"{one.student}, {ARM_NAMES[one.arm]}" for one in arms))
    teacher = report.teacher.evaluation
    found = _tables(report, report.judged.main, columns, [teacher.breakdowns, *(one.breakdowns for one in arms)])
    for name in report.judged.others:
        there = teacher.sets[name].breakdowns if name in teacher.sets else ()
        found += _tables(report, name, columns, [there, *(one.sets[name].breakdowns for one in arms)])
    return found


def _tables(
    report: Report, name: str, columns: tuple[str, ...], told: Sequence[tuple[Breakdown, ...]]
) -> list[BreakdownTable]:
    figures = dict.fromkeys((one.figure, one.by) for model in told for one in model)
    return [_table(report, name, columns, told, *figure) for figure in figures]


def _table(
    report: Report, name: str, columns: tuple[str, ...], told: Sequence[tuple[Breakdown, ...]], figure: str, by: str
) -> BreakdownTable:
    shares = [_shares(model, figure, by) for model in told]
    counts = {value: count for model in told for one in model if one.figure == figure for value, count, _ in one.rows}
    rows = tuple((value, count, tuple(one.get(value) for one in shares)) for value, count in counts.items())
    where = f", on {name}" if report.judged.others else ""
    return BreakdownTable(f"{report.judged.kinds[figure].title} by {by}{where}", by, columns, rows)


def _shares(model: tuple[Breakdown, ...], figure: str, by: str) -> Mapping[str, float]:
    rows = (one.rows for one in model if (one.figure, one.by) == (figure, by))
    return {value: share for found in rows for value, _, share in found}
