"""`teachercache cache merge`: one cache of several."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Annotated

import typer

from ....cache import Cache, open_cache
from ....cache.rewriting.average import average_plan
from ....cache.rewriting.rewrite import Rewrite
from ....cache.rewriting.shard_union import plan_union, unite_shards
from ....cache.rewriting.side_by_side import side_by_side_plan
from ...console import console, counted
from ...errors import ConfigError
from ...keeping.inspection_table import size_text
from ...keeping.rewriting import interruptible_bar, run_rewrite, say_missing
from .location import DryRun, NewPath, cache_address


def merge(
    out: NewPath,
    caches: Annotated[list[str], typer.Argument(metavar="CACHE...", help="two caches or more")],
    side_by_side: Annotated[
        bool, typer.Option("--side-by-side", help="several teachers: signal s of folder a becomes a.s")
    ] = False,
    names: Annotated[str | None, typer.Option(help="side by side, under these names instead, such as vit,clip")] = None,
    average: Annotated[str | None, typer.Option(help="a signal, logits: the mean of the teachers' softmax")] = None,
    weights: Annotated[str | None, typer.Option(help="of the average, such as 2,1; equal when left out")] = None,
    by_confidence: Annotated[
        bool,
        typer.Option("--by-confidence", help="of the average: each row's surer teachers count more, once calibrated"),
    ] = False,
    codec: Annotated[str | None, typer.Option(help="codec of the average; the first cache's when left out")] = None,
    copy: Annotated[bool, typer.Option("--copy", help="copy files; else they are linked where that can be")] = False,
    first_wins: Annotated[bool, typer.Option("--first-wins", help="take a conflicting shard from the first")] = False,
    dry_run: DryRun = False,
) -> None:
    """Make one cache of shards that were built in different places, or of several teachers.

    Example: [bold]teachercache cache merge runs/all/cache node-1/cache node-2/cache[/bold]

    Example: [bold]teachercache cache merge runs/two/cache vit/cache clip/cache --names vit,clip[/bold]

    Example: [bold]teachercache cache merge runs/mean/cache a/cache b/cache --average logits --weights 2,1[/bold]

    Example: [bold]teachercache cache merge runs/all/cache a/cache b/cache --average logits --by-confidence[/bold]
    """
    if len(caches) < 2:
        raise ConfigError("merge needs the folder of the new cache and at least two caches")
    parents = [open_cache(cache_address(path)) for path in caches]
    if by_confidence and average is None:
        raise ConfigError("--by-confidence: it weighs an average; say which signal: --average logits")
    if average is not None:
        temperatures = _calibrated(parents, average) if by_confidence else None
        plan = average_plan(parents, average, _weights(weights, len(parents)), codec, temperatures)
        run_rewrite(out, plan, "merge", dry_run)
    elif side_by_side or names is not None:
        run_rewrite(out, _side_by_side(parents, names), "merge", dry_run)
    else:
        _unite(out, parents, copy, first_wins, dry_run)


def _calibrated(parents: Sequence[Cache], signal: str) -> list[float]:
    """The temperature at which each teacher is as sure as it is right on the labelled samples."""
    from ....stages.quality.public_calibration import temperature_of

    found = [temperature_of(parent, signal) for parent in parents]
    for parent, one in zip(parents, found, strict=True):
        console.print(
            f"  {parent.url}: right on {one.accuracy:.1%} of {one.samples} labelled samples, temperature "
            f"{one.temperature:.2f}",
            soft_wrap=True,
        )
    return [one.temperature for one in found]


def _unite(out: str, parts: Sequence[Cache], copy: bool, first_wins: bool, dry_run: bool) -> None:
    """Shards that were built in different places."""
    plan = plan_union(parts, first_wins)
    for part in parts:
        own = [shard for shard, source in plan.sources.items() if source is part]
        size = size_text(sum(part.receipts[shard].bytes for shard in own))
        console.print(f"  {part.url}: {counted(len(own), 'shard')}, {size}", soft_wrap=True)
    if plan.double:
        console.print(f"  in several caches, taken once: {', '.join(plan.double)}", soft_wrap=True)
    if dry_run:
        console.print(f"would write {out}: {counted(len(plan.sources), 'shard')}")
    else:
        with interruptible_bar("merge", "bytes") as progress:
            made = unite_shards(out, parts, plan, progress, copy)
        stood = len(plan.sources) - len(made)
        console.print(
            f"[green]merge[/green] {out}: {counted(len(made), 'shard')} made, {stood} stood already", soft_wrap=True
        )
    say_missing(plan.missing)


def _side_by_side(parents: Sequence[Cache], names: str | None) -> Rewrite:
    given = [_folder_name(parent.url) for parent in parents] if names is None else names.split(",")
    return side_by_side_plan(parents, [name.strip() for name in given])


def _folder_name(url: str) -> str:
    """The name of a cache's folder, or of the run that it is the cache of."""
    path = PurePosixPath(url.replace("\\", "/").rstrip("/"))
    return path.parent.name if path.name == "cache" else path.name


def _weights(text: str | None, count: int) -> list[float]:
    try:
        return [1.0] * count if text is None else [float(weight) for weight in text.split(",")]
    except ValueError:
        raise ConfigError(f"--weights: {text!r} are no numbers; say for example 2,1") from None
