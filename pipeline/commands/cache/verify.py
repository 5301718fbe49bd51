"""`teachercache cache verify`: is every byte, row and value as it should be?"""

from collections.abc import Sequence
from typing import Annotated

import typer

from ....cache.errors import DamagedCacheError
from ....cache.grid.member import Member
from ....cache.keeping.damage import Damage
from ....cache.keeping.verify import verify_members
from ....cache.opening import open_members
from ...console import console, progress_bar
from .location import CachePath, cache_address


def verify(
    path: CachePath,
    fast: Annotated[bool, typer.Option("--fast", help="compare the sizes of files only; reads no values")] = False,
) -> None:
    """Read every byte of a cache and hold it against receipts and manifest: hashes, rows, ids, ranges of values.

    Example: [bold]teachercache cache verify runs/demo/cache[/bold]

    It only reports: [bold]teachercache cache repair[/bold] takes broken shards out of use. Exit code 1 when anything
    is broken.
    """
    members = open_members(cache_address(path))
    damages = find_damages(members, fast)
    for damage in damages:
        console.print(f"[red]damaged[/red] {damage}", soft_wrap=True)
    url = members[0].url
    if damages:
        places = f"{len(damages)} places" if len(damages) > 1 else "one place"
        raise DamagedCacheError(f"{url} is damaged in {places}; run: teachercache cache repair {path}")
    missing = sum(len(member.missing()) for member in members)
    whole = sum(len(member.manifest.shards) for member in members) - missing
    how = "have the right sizes" if fast else "are whole"
    console.print(f"[green]verified[/green] {url}: {whole} shards {how}, {missing} are not built yet")


def find_damages(members: Sequence[Member], fast: bool) -> list[Damage]:
    """What is wrong, with a bar while it is looked for."""
    total, done = sum(len(member.manifest.shards) for member in members), 0
    with progress_bar("verify", "shards") as bar:

        def tick(shard: str) -> None:
            nonlocal done
            done += 1
            bar.update(done, total)

        return verify_members(members, tick, fast)
