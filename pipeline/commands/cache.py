"""`teachercache cache build|inspect|verify`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ...cache import open_cache
from ...cache.errors import DamagedCacheError
from ...cache.format.manifest import MANIFEST_FILE
from ...cache.keeping.verify import retire_shard, verify_cache
from ..config import load_config
from ..console import console, progress_bar
from ..inspection import inspect_cache, inspection_table
from ..interruption import interruptible
from ..shard_choice import choose_shards
from .arguments import ConfigPath

CachePath = Annotated[Path, typer.Argument(metavar="CACHE", help="a cache's folder, or the YAML file of the run")]


def build(
    config: ConfigPath,
    shards: Annotated[str | None, typer.Option(help="only these shards: names, or numbers such as 0-3,7")] = None,
) -> None:
    """Run the teacher over every shard that is missing, and keep what it says.

    Example: [bold]teachercache cache build recipe.yaml[/bold]

    The same command again continues where it stopped.
    """
    from ..building import build_caches

    loaded = load_config(config)
    with interruptible() as stop:
        build_caches(loaded, stop, choose_shards(loaded, shards))


def inspect(
    path: CachePath,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """Show signals, codecs with their measured error, bytes and shards of a cache.

    Example: [bold]teachercache cache inspect runs/demo/cache[/bold]
    """
    found = inspect_cache(open_cache(_cache_folder(path)))
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        console.print(inspection_table(found))


def verify(
    path: CachePath,
    keep: Annotated[bool, typer.Option("--keep", help="only report; leave broken shards in use")] = False,
) -> None:
    """Read every byte of a cache and compare it with the receipts.

    Example: [bold]teachercache cache verify runs/demo/cache[/bold]

    A broken shard is taken out of use (its receipt moves to receipts/damaged/), so that
    [bold]teachercache cache build[/bold] makes it again. Exit code 1 when anything is broken.
    """
    cache = open_cache(_cache_folder(path))
    total, done = len(cache.manifest.shards), 0
    with progress_bar("verify", "shards") as bar:

        def tick(shard: str) -> None:
            nonlocal done
            done += 1
            bar.update(done, total)

        damages = verify_cache(cache, tick)
    for damage in damages:
        console.print(f"[red]damaged[/red] shard {damage.shard}: {damage.problem}", soft_wrap=True)
        if not keep:
            retire_shard(cache, damage.shard)
    if damages:
        done_about_it = "they are left in use" if keep else "`teachercache cache build` makes them again"
        raise DamagedCacheError(f"{len(damages)} of {total} shards are damaged; {done_about_it}")
    missing = sum(cache.receipt(shard) is None for shard in cache.manifest.shards)
    console.print(
        f"[green]verified[/green] {cache.url}: {total - missing} shards are whole, {missing} are not built yet"
    )


def _cache_folder(path: Path) -> Path:
    """A cache's folder itself, or the training cache of a configuration."""
    if path.is_dir() or (path / MANIFEST_FILE).exists() or path.suffix not in (".yaml", ".yml"):
        return path
    return load_config(path).cache_path
