"""`teachercache cache gc`: removes what belongs to nothing."""

import re
import time
from typing import Annotated

import typer

from ....cache.keeping.rubbish import find_rubbish, remove_rubbish
from ....cache.opening import open_members
from ...console import console, counted, progress_bar
from ...errors import ConfigError
from ...keeping.inspection_table import size_text
from .location import CachePath, DryRun, cache_address

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def gc(
    path: CachePath,
    older_than: Annotated[str, typer.Option(help="only what was not touched for so long: 30m, 24h, 7d")] = "24h",
    damaged: Annotated[bool, typer.Option("--damaged", help="also the receipts that repair has put aside")] = False,
    dry_run: DryRun = False,
) -> None:
    """Remove attempts that no receipt names, temporary files, and extensions that were never begun.

    Example: [bold]teachercache cache gc runs/demo/cache --dry-run[/bold]

    What a running builder writes is young and stays; a builder whose files are taken stops before its receipt.
    """
    members, limit = open_members(cache_address(path)), time.time() - _seconds(older_than)
    found = find_rubbish(members, damaged)
    old = [thing for thing in found if thing.modified <= limit]
    for thing in old:
        console.print(f"  {thing.name}: {thing.kind}, {size_text(thing.bytes)}", soft_wrap=True)
    removed = old if dry_run else []
    if not dry_run:
        with progress_bar("gc", "things") as bar:
            for thing in remove_rubbish(members, old):
                removed.append(thing)
                bar.update(len(removed), len(old))
    young = f"; {len(found) - len(old)} younger than {older_than} stay" if len(found) > len(old) else ""
    said, size = "would remove" if dry_run else "removed", size_text(sum(thing.bytes for thing in removed))
    console.print(
        f"[green]gc[/green] {members[0].url}: {said} {counted(len(removed), 'thing')}, {size}{young}", soft_wrap=True
    )


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if not found:
        raise ConfigError(f"--older-than: {text!r} is no time; say for example 30m, 24h or 7d")
    return float(found[1]) * _SECONDS[found[2]]
