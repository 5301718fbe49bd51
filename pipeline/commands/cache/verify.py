"""`teachercache cache verify`: is every byte as it was written?"""

from typing import Annotated

import typer

from ....cache import open_cache
from ....cache.errors import DamagedCacheError
from ....cache.keeping.verify import retire_shard, verify_cache
from ...console import console, progress_bar
from .location import CachePath, cache_address


def verify(
    path: CachePath,
    keep: Annotated[bool, typer.Option("--keep", help="only report; leave broken shards in use")] = False,
) -> None:
    """Read every byte of a cache and compare it with the receipts.

    Example: [bold]teachercache cache verify runs/demo/cache[/bold]

    A broken shard is taken out of use (its receipt moves to receipts/damaged/), so that
    [bold]teachercache cache build[/bold] makes it again. Exit code 1 when anything is broken.
    """
    cache = open_cache(cache_address(path))
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
