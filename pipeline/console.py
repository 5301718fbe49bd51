"""What people see while work is done: a progress bar with rate and time left, or a line now and then in a log file."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console, ConsoleDimensions
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

_LINE_EVERY = 30.0  # seconds between lines when nobody watches a terminal
_WIDTH = 160  # columns where there is no terminal that has a width


class WideConsole(Console):
    """A console that has room for tables where it writes into a file or a pipe, unless COLUMNS says how much."""

    @property
    def size(self) -> ConsoleDimensions:
        found = super().size
        if self.is_terminal or self._width is not None:  # rich takes COLUMNS once, when it is made
            return found
        return ConsoleDimensions(max(_WIDTH, found.width), found.height)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size


console = WideConsole(highlight=False)
errors = WideConsole(stderr=True, highlight=False)


@contextmanager
def quiet(asked: bool) -> Iterator[None]:
    """Say nothing while the context is open, where somebody asked for JSON alone."""
    before, console.quiet = console.quiet, asked or console.quiet
    try:
        yield
    finally:
        console.quiet = before


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun: 1 shard, 0 shards, 1,200 shards."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


class RateColumn(ProgressColumn):
    """Units per second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed
        return Text(f"{rate_figure(rate)} {self._unit}/s" if rate else f"- {self._unit}/s", style="cyan")


class Bar:
    """One bar. `update(done, total)` and `note(text)`."""

    def __init__(self, progress: Progress, title: str, unit: str) -> None:
        self._progress, self._title, self._unit = progress, title, unit
        self._task = progress.add_task(title, total=None, note="")
        self._said, self._started, self._note = monotonic(), monotonic(), ""
        self._first: int | None = None

    def update(self, done: int, total: int) -> None:
        """Show how far the work is."""
        self._first = done if self._first is None else self._first
        self._progress.update(self._task, completed=done, total=total)
        if not console.is_terminal and (monotonic() - self._said > _LINE_EVERY):
            self._said = monotonic()
            rate = (done - self._first) / max(1e-9, self._said - self._started)
            console.print(
                f"{self._title}: {done:,} of {total:,} {self._unit}, {rate_figure(rate)}/s {self._note}".rstrip()
            )

    def note(self, text: str) -> None:
        """Show a short text behind the bar."""
        self._note = text
        self._progress.update(self._task, note=text)


def bar_columns(unit: str) -> tuple[ProgressColumn, ...]:
    """What stands in the line of a bar."""
    return (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(unit),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
    )


@contextmanager
def progress_bar(title: str, unit: str) -> Iterator[Bar]:
    """A bar while the context is open."""
    with Progress(*bar_columns(unit), console=console, disable=not console.is_terminal) as progress:
        yield Bar(progress, title, unit)


def rate_figure(rate: float) -> str:
    """A rate, with a decimal when it is small."""
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"
