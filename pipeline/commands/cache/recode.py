"""`teachercache cache recode`: another codec for a signal of a finished cache."""

from typing import Annotated

import typer

from ....cache import open_cache
from ....cache.rewriting.recode import recode_plan
from ...rewriting import run_rewrite
from ...signal_choice import new_codec
from .location import CachePath, DryRun, NewPath, cache_address


def recode(
    path: CachePath,
    out: NewPath,
    signal: Annotated[list[str], typer.Option(help="the signal to recode; may be given several times")],
    codec: Annotated[str | None, typer.Option(help="the new codec; the old one when left out")] = None,
    k: Annotated[int | None, typer.Option(help="entries kept per row (topk and the like)")] = None,
    temperatures: Annotated[str | None, typer.Option(help="temperatures (topk and the like), such as 1,2,4")] = None,
    compress: Annotated[str | None, typer.Option(help="none or zstd")] = None,
    dry_run: DryRun = False,
) -> None:
    """Make a new cache in which some signals are kept by another codec, and say what that loses.

    Example: [bold]teachercache cache recode runs/demo/cache runs/small/cache --signal embedding --codec int8[/bold]

    The error is measured against what the old cache decodes to, on every row. Other signals are copied.
    """
    cache = open_cache(cache_address(path))
    options = {"codec": codec, "k": k, "temperatures": temperatures, "compress": compress}
    run_rewrite(out, recode_plan(cache, {name: new_codec(cache, name, options) for name in signal}), "recode", dry_run)
