"""`teachercache cache slice`: a part of a cache as a cache of its own."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ....cache import Cache, open_cache
from ....cache.rewriting.slice import slice_plan
from ....data import DataError
from ...config import load_cache_config
from ...console import console
from ...errors import ConfigError
from ...jobs import source_of
from ...keeping.rewriting import run_rewrite
from ...keeping.shard_choice import named_shards
from .location import CachePath, DryRun, NewPath, cache_address, is_config


def slice(
    path: CachePath,
    out: NewPath,
    signals: Annotated[str | None, typer.Option(help="only these signals, such as logits,embedding")] = None,
    shards: Annotated[str | None, typer.Option(help="only these shards: names, or numbers such as 0-3,7")] = None,
    views: Annotated[str | None, typer.Option(help="only these views: a number, or a range such as 0-1")] = None,
    dry_run: DryRun = False,
) -> None:
    """Make a new cache of some signals, shards and views of a cache; extensions become a part of it.

    Example: [bold]teachercache cache slice recipe.yaml runs/small/cache --signals logits --shards 0-3[/bold]

    Values are copied as they are, without decoding. When CACHE is the YAML file of the run, the slice knows the
    source of its shards, and a configuration that asks for exactly these trains from it.
    """
    cache = open_cache(cache_address(path))
    names = None if shards is None else sorted(named_shards(list(cache.manifest.shards), shards))
    chosen = None if signals is None else [name.strip() for name in signals.split(",")]
    plan = slice_plan(cache, chosen, names, _range(views), _source(path, cache, names))
    run_rewrite(out, plan, "slice", dry_run)
    if "whole" in plan.manifest.fingerprint.get("source", {}):
        console.print(
            "[yellow]note[/yellow] no configuration can train from this slice: its source is not known. Give the YAML "
            "of a run over tar shards instead of the folder, and it is",
            soft_wrap=True,
        )


def _range(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    first, _, last = text.partition("-")
    try:
        return int(first), int(last or first)
    except ValueError:
        raise ConfigError(f"--views: {text!r} is no range of views; say for example 0-1") from None


def _source(path: str, cache: Cache, names: list[str] | None) -> dict[str, Any] | None:
    """The fingerprint of the chosen shards' source, where it is another one and a configuration says which."""
    kept = [shard for shard in cache.manifest.shards if names is None or shard in names]
    same = len(kept) == len(cache.manifest.shards) and "added" not in cache.manifest.fingerprint
    if same or not is_config(path):
        return None
    try:
        return dict(source_of(load_cache_config(Path(path)).source).restricted(kept).fingerprint)
    except DataError:
        return None  # some shards of a folder are no source by themselves
