"""What people see of a fleet while it trains: a bar, and a line for each trial with its loss, a measure, rate and ETA.

In a log file the lines come now and then, the rarer the more trials there are.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from ...stages.student.files.history import Record
from ...stages.student.fleet import FleetProgress
from ..console import bar_columns, console, rate_figure

_LINES_EVERY = 30.0  # seconds between rounds of lines when nobody watches a terminal
_LINE_SECONDS = 2.0  # and at least so many for each line of them
_OTHER_LINES = 4  # of a terminal: the bar, the prompt, what is left out


class FleetView:
    """Shows the newest state of a fleet. `clock` gives seconds."""

    def __init__(self, title: str, clock: Callable[[], float] = monotonic) -> None:
        self._title, self._clock = title, clock
        self._progress = Progress(*bar_columns("steps"), console=console)
        self._task = self._progress.add_task(title, total=None, note="")
        self._began: dict[str, tuple[float, int]] = {}  # when and at which step a trial was first seen
        self._state: FleetProgress | None = None
        self._said = clock()

    def show(self, state: FleetProgress) -> None:
        """Take in a state."""
        self._state, now = state, self._clock()
        for name, step in state.at.items():
            self._began.setdefault(name, (now, step))
        self._progress.update(self._task, completed=state.step, total=state.steps, note=_note(state))
        if not console.is_terminal and now - self._said > max(_LINES_EVERY, _LINE_SECONDS * len(state.training)):
            self._said = now
            for line in self.lines():
                console.print(line, soft_wrap=True)

    def lines(self) -> list[str]:
        """The state as plain lines: one of all, one of each trial."""
        if self._state is None:
            return []
        state = self._state
        first = f"{self._title}: step {state.step:,} of {state.steps:,}{_note(state, ', ')}"
        return [first, *(f"  {name}: {', '.join(filter(None, cells))}" for name, *cells in self._rows(state))]

    def __rich__(self) -> RenderableType:
        if self._state is None:
            return self._progress
        table = Table.grid(padding=(0, 2))
        rows = list(self._rows(self._state))
        room = max(1, console.height - _OTHER_LINES)
        for name, *cells in rows[:room]:
            table.add_row(Text(name), *(Text(cell, style="dim") for cell in cells))
        if len(rows) > room:
            table.add_row(Text(f"and {len(rows) - room} more", style="dim"))
        return Group(self._progress, table)

    def _rows(self, state: FleetProgress) -> Iterator[tuple[str, ...]]:
        for name, record in state.training.items():
            step = state.at.get(name, state.step)
            yield name, f"step {step:,}", *_measured(record), *self._pace(name, step, state.steps)
        for name, reason in state.failed.items():
            yield name, f"failed: {reason}", "", "", "", ""

    def _pace(self, name: str, step: int, steps: int) -> tuple[str, str]:
        """Steps a second since the trial was first seen, and the time that is left at this rate."""
        when, first = self._began.get(name, (self._clock(), step))
        seconds = self._clock() - when
        if step <= first or seconds <= 0:
            return "", ""
        rate = (step - first) / seconds
        return f"{rate_figure(rate)} steps/s", f"{timedelta(seconds=round((steps - step) / rate))} left"


@contextmanager
def watched_fleet(title: str) -> Iterator[FleetView]:
    """A view while the context is open; it draws itself on a terminal."""
    view = FleetView(title)
    if not console.is_terminal:
        yield view
        return
    with Live(get_renderable=view.__rich__, console=console, refresh_per_second=4):
        yield view


def _measured(record: Record | None) -> tuple[str, str]:
    """Loss, and the share of right rows or, without one, the first term."""
    if record is None:
        return "", ""
    return f"loss {record.loss:.3f}", _measure(record.accuracy, record.terms)


def _measure(accuracy: float | None, terms: Mapping[str, float]) -> str:
    if accuracy is not None:
        return f"{accuracy:.0%} of the batch right"
    return next((f"{name} {value:.3f}" for name, value in terms.items()), "")


def _note(state: FleetProgress, before: str = "") -> str:
    counts = {"finished or stopped": state.over, "failed": len(state.failed), "waiting": state.waiting}
    said = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return f"{before}{said}" if said else ""
