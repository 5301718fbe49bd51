"""`teachercache cache export`: a cache for programs that do not know caches."""

from pathlib import Path
from typing import Annotated

import typer

from ....cache import open_cache
from ...console import console, counted
from ...errors import ConfigError
from ...keeping.inspection_table import size_text
from ...keeping.rewriting import interruptible_bar, say_missing
from .location import CachePath, DryRun, cache_address


def export(
    path: CachePath,
    out: Annotated[str, typer.Argument(metavar="OUT", help="local folder to write to")],
    to: Annotated[str, typer.Option(help="parquet, npy, or hf (datasets.load_from_disk reads it)")],
    signals: Annotated[str | None, typer.Option(help="only these signals, such as logits,embedding")] = None,
    encoded: Annotated[
        bool, typer.Option("--encoded/--decoded", help="the parts as they are kept, or the values that they decode to")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Write ids, views, labels and signals as Parquet, npy or a Hugging Face dataset: one file for each shard.

    Example: [bold]teachercache cache export runs/demo/cache exported --to parquet --signals logits[/bold]
    """
    from ....cache.export.export import check_export, export_cache

    if "://" in out:
        raise ConfigError(f"{out}: an export goes to a local folder; copy it to the store afterwards")
    cache = open_cache(cache_address(path))
    chosen = None if signals is None else [name.strip() for name in signals.split(",")]
    names = check_export(cache, to, chosen)
    if dry_run:
        about = f"{counted(len(cache.shards), 'shard')}, {counted(cache.rows, 'row')}, signals {', '.join(names)}"
        size = size_text(cache.rows * sum(cache.manifest.signals[name].row_bytes() for name in names))
        console.print(f"would write {out}: {about} ({size} in the cache)", soft_wrap=True)
        return
    with interruptible_bar("export", "rows") as progress:
        done = export_cache(cache, Path(out), to, chosen, not encoded, progress)
    stood = f", {len(done.standing)} stood already" if done.standing else ""
    console.print(f"[green]export[/green] {out}: {counted(len(done.made), 'shard')} as {to}{stood}", soft_wrap=True)
    say_missing(done.missing)
