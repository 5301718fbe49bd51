"""`teachercache cache recode`: another codec for a signal of a finished cache."""

from typing import Annotated, Any

import typer

from ....cache import open_cache
from ....cache.rewriting.recode import recode_plan
from ...keeping.principal_components import pca_codec
from ...keeping.rewriting import run_rewrite
from ...keeping.signal_choice import check_changes, new_codec, signals_to_recode
from .location import CachePath, DryRun, NewPath, cache_address


def recode(
    path: CachePath,
    out: NewPath,
    signal: Annotated[
        list[str] | None,
        typer.Option(help="the signal to recode; may be given several times; all for --compress alone"),
    ] = None,
    codec: Annotated[str | None, typer.Option(help="the new codec; the old one when left out")] = None,
    k: Annotated[int | None, typer.Option(help="entries kept per row (topk and the like)")] = None,
    temperatures: Annotated[str | None, typer.Option(help="temperatures (topk and the like), such as 1,2,4")] = None,
    draws: Annotated[int | None, typer.Option(help="classes drawn per row (sampling)")] = None,
    sample_temperature: Annotated[float | None, typer.Option(help="of the softmax drawn from (pps, sampling)")] = None,
    scale: Annotated[str | None, typer.Option(help="f32 or f16 (u8affine)")] = None,
    dimensions: Annotated[int | None, typer.Option(help="numbers kept of each vector (pca)")] = None,
    variance: Annotated[float | None, typer.Option(help="or share of the variance to hold, as 0.99 (pca)")] = None,
    keep: Annotated[str | None, typer.Option(help="coefficients as f16 or int8 (pca)")] = None,
    compress: Annotated[str | None, typer.Option(help="none or zstd")] = None,
    dry_run: DryRun = False,
) -> None:
    """Make a new cache in which some signals are kept by another codec, and say what that loses.

    Example: [bold]teachercache cache recode runs/demo/cache runs/small/cache --signal embedding --codec int8[/bold]

    Example: [bold]teachercache cache recode runs/demo/cache runs/small/cache --compress zstd[/bold]

    The error is measured against what the old cache decodes to, on every row. Other signals are copied. Where
    nothing would change, it is refused.
    """
    cache = open_cache(cache_address(path))
    options: dict[str, Any] = {"codec": codec, "k": k, "temperatures": temperatures, "draws": draws, "scale": scale}
    options |= {"sample_temperature": sample_temperature, "compress": compress}
    options |= {"keep": keep}
    names = signals_to_recode(cache, signal, {**options, "dimensions": dimensions, "variance": variance})
    if codec == "pca":
        given = (dimensions, variance, keep or "f16", compress or "none")
        codecs = {name: pca_codec(cache, name, out, *given) for name in names}
    else:
        codecs = {name: new_codec(cache, name, options) for name in names}
    plan = recode_plan(cache, codecs)
    check_changes(cache, plan, names)
    run_rewrite(out, plan, "recode", dry_run)
