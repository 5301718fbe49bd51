"""Runs a rewrite of caches for the command line: its plan in a table, its progress as a bar, a polite stop."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.table import Table

from ..cache.rewriting.rewrite import Rewrite, Rewritten, rewrite
from ..stages.errors import Interrupted
from .console import console, progress_bar
from .inspection import size_text
from .interruption import interruptible


def run_rewrite(out: str, plan: Rewrite, verb: str, dry_run: bool) -> Rewritten | None:
    """Make the new cache and say what came of it; None for a dry run, which only says what would come of it."""
    ready = plan.ready()
    rows = sum(len(plan.rows(shard)) for shard in ready)
    if dry_run:
        console.print(_signals(plan))
        size = size_text(rows * plan.manifest.row_bytes())
        console.print(f"would write {out}: {len(ready)} shards, {rows:,} rows, about {size}")
        return None
    with interruptible_bar(verb, "rows") as progress:
        done = rewrite(out, plan, progress)
    console.print(_signals(plan))
    stood = f", {len(done.standing)} stood already" if done.standing else ""
    console.print(f"[green]{verb}[/green] {out}: {len(done.made)} shards made{stood}", soft_wrap=True)
    say_missing(done.missing)
    return done


@contextmanager
def interruptible_bar(verb: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A progress function that shows a bar, and raises Interrupted when a signal came."""
    with interruptible() as stop, progress_bar(verb, unit) as bar:

        def progress(done: int, total: int) -> None:
            bar.update(done, total)
            if stop():
                raise Interrupted(f"stopped with {done:,} of {total:,} {unit} done; the same command continues")

        yield progress


def say_missing(shards: tuple[str, ...]) -> None:
    """Name shards that no parent has finished."""
    if shards:
        some = ", ".join(shards[:5]) + (", ..." if len(shards) > 5 else "")
        console.print(f"[yellow]missing[/yellow] {len(shards)} shards that are not finished: {some}", soft_wrap=True)


def _signals(plan: Rewrite) -> Table:
    table = Table("signal", "codec", "bytes/row", "error, measured against what was decoded before")
    before = plan.manifest.fingerprint.get("derived", {}).get("before", {})
    for name, schema in plan.manifest.signals.items():
        new = name in before or not before
        error = _figures(schema.error) if new else "copied"
        if name in before:
            error += f"   (on top of {before[name]['codec']}: {_figures(before[name]['error'])})"
        table.add_row(name, schema.codec, f"{schema.row_bytes():,}", error)
    return table


def _figures(error: object) -> str:
    figures = dict(error) if isinstance(error, dict) else {}
    return "  ".join(f"{key} {value:.2g}" for key, value in figures.items()) or "none"
