"""Runs a rewrite of caches for the command line: what it keeps and loses, a bar, a polite stop."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from ...cache import Cache
from ...cache.rewriting.origin import Copied
from ...cache.rewriting.rewrite import Rewrite, Rewritten, rewrite
from ...cache.rewriting.standing import check_standing
from ...stages.errors import Interrupted
from ..console import console, counted, progress_bar
from ..interruption import interruptible
from .inspection import worst_error
from .inspection_table import size_text

_COMPRESSED = {"zstd": "compressed with zstd", "none": "no longer compressed"}


def run_rewrite(out: str, plan: Rewrite, verb: str, dry_run: bool) -> Rewritten | None:
    """Make the new cache and say what came of it; None for a dry run, which only says what would come of it."""
    ready = plan.ready()
    rows = sum(len(plan.rows(shard)) for shard in ready)
    if dry_run:
        check_standing(out, plan.manifest)
        _say_signals(plan)
        size = size_text(rows * plan.manifest.row_bytes())
        console.print(f"would write {out}: {counted(len(ready), 'shard')}, {counted(rows, 'row')}, about {size}")
        return None
    with interruptible_bar(verb, "rows") as progress:
        done = rewrite(out, plan, progress)
    _say_signals(plan, done.cache)
    stood = f", {len(done.standing)} stood already" if done.standing else ""
    console.print(f"[green]{verb}[/green] {out}: {counted(len(done.made), 'shard')} made{stood}", soft_wrap=True)
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
        many = counted(len(shards), "shard that is", "shards that are")
        console.print(f"[yellow]missing[/yellow] {many} not finished: {some}", soft_wrap=True)


def _say_signals(plan: Rewrite, made: Cache | None = None) -> None:
    """One line for each signal: how it is kept, and what that loses (on some rows before it is made, else on all)."""
    receipts = [] if made is None else list(made.receipts.values())
    derived = plan.manifest.fingerprint.get("derived", {})
    for name, schema in plan.manifest.signals.items():
        error = worst_error(name, receipts) or dict(schema.error)
        line = f"  {name}: {schema.codec}, {schema.row_bytes():,} bytes/row"
        origin = plan.origins[name]
        if isinstance(origin, Copied):
            was = origin.parent.manifest.signals[origin.signal].compression
            line += ", copied" if was == schema.compression else f", {_COMPRESSED[schema.compression]}, same values"
        elif name in derived.get("before", {}):
            old = derived["before"][name]
            line += f", loses {_figures(error)} of what {old['codec']} gave, which had lost {_figures(old['error'])}"
        elif name == derived.get("average"):
            line += f", loses {_figures(error)} of the average"
        else:
            line += ", copied"
        console.print(line, soft_wrap=True)


def _figures(error: Mapping[str, float]) -> str:
    return " ".join(f"{key} {value:.2g}" for key, value in error.items()) or "nothing"
