"""`teachercache check`: the dry run."""

from math import ceil
from typing import TYPE_CHECKING

from rich.table import Table

from ..config import CacheConfig, Config, load_cache_config
from ..console import console, counted
from ..keeping.inspection_table import size_text
from .arguments import ConfigPath

if TYPE_CHECKING:
    from ...stages.teacher.capture_cost import CaptureCost
    from ..dry_run.checking import Forecast

_LEAST = 1e-4  # seconds: what a clock around a pass cannot tell apart


def check(config: ConfigPath) -> None:
    """Send two samples through every part, and say what the whole run will take.

    Example: [bold]teachercache check recipe.yaml[/bold]

    Nothing is kept. Exit code 2 says what to change.
    """
    from ..dry_run.checking import check_run
    from ..students.generations import generations, within_reach

    loaded = load_cache_config(config)
    parts = len(generations(loaded)) if isinstance(loaded, Config) else 1
    loaded, waiting = within_reach(loaded)
    with console.status("two samples go through source, views, teacher, codecs, a shard, the join and every student"):
        forecast = check_run(loaded)
    console.print(_signals(forecast))
    for note in forecast.notes:
        console.print(f"  {note}", soft_wrap=True)
    for name in waiting:
        console.print(f"  teachers.{name} is a student that is not trained yet: what learns from it was not tried")
    if parts > 1:
        console.print(f"  {parts} generations, one after another")
    for name, parameters in forecast.students.items():
        console.print(f"  student {name}: {parameters:,} parameters")
    console.print(
        f"source: {counted(forecast.samples, 'sample')} in {counted(forecast.shards, 'shard')}, "
        f"{forecast.labelled:,} with a label\n"
        f"cache: {counted(forecast.rows, 'row')} x {forecast.row_bytes:,} bytes = "
        f"{size_text(forecast.cache_bytes)}\n"
        f"time here: about {_time(forecast.teacher_seconds)} for the teacher{_training(loaded, forecast)}\n"
        f"[green]ready[/green]: teachercache {'run' if forecast.trials else 'cache build'} {config}"
    )


def _training(config: CacheConfig, forecast: "Forecast") -> str:
    if not isinstance(config, Config):
        return ""
    work = f"{counted(forecast.trials, 'trial')} of {counted(config.train.steps, 'step')}"
    return f", {_time(forecast.train_seconds)} for {work}"


def _signals(forecast: "Forecast") -> Table:
    title, costs = "what the cache will keep", forecast.costs
    table = Table("signal", "bytes/row", "error on two samples", "time to hear", title=title, title_justify="left")
    for name, size in forecast.signal_bytes.items():
        error = "  ".join(f"{key} {value:.2g}" for key, value in forecast.signal_errors[name].items())
        added = costs.signals.get(name)
        table.add_row(name, f"{size:,}", error or "none", "" if added is None else _added(added, costs))
    table.caption = f"a pass that hears nothing: {costs.bare * 1e3:.1f} ms"
    return table


def _added(seconds: float, costs: "CaptureCost") -> str:
    """What hearing a signal adds to a pass; where that is within noise, what it is less than."""
    noise = ceil(max(costs.noise, _LEAST) * 1e4) / 10
    if seconds * 1e3 <= noise:
        return f"under {noise:g} ms"
    return f"{seconds * 1e3:+.1f} ms ({seconds / costs.bare:+.0%})"


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
