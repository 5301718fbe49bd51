"""`teachercache cache verify`: is every byte, row and value as it should be?"""

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ....cache.errors import DamagedCacheError
from ....cache.grid.member import Member
from ....cache.keeping.damage import Damage
from ....cache.keeping.verify import verify_members
from ....cache.opening import open_members
from ...config import load_cache_config
from ...console import console, counted, progress_bar
from ...errors import ConfigError
from .location import CachePath, cache_address, is_config


def verify(
    path: CachePath,
    fast: Annotated[bool, typer.Option("--fast", help="compare the sizes of files only; reads no values")] = False,
    teacher: Annotated[int, typer.Option(help="ask each teacher again for so many rows; CACHE must be the YAML")] = 0,
    seed: Annotated[int | None, typer.Option(help="of the choice of these rows; another one each time")] = None,
) -> None:
    """Read every byte of a cache and hold it against receipts and manifest: hashes, rows, ids, ranges of values.

    Example: [bold]teachercache cache verify runs/demo/cache[/bold]

    Example: [bold]teachercache cache verify recipe.yaml --teacher 64[/bold]

    It only reports: [bold]teachercache cache repair[/bold] takes broken shards out of use. Exit code 1 when anything
    is broken.
    """
    if teacher and not is_config(path):
        raise ConfigError("--teacher needs the YAML of the run, which says who the teacher is")
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
    one = whole == 1
    how = f"{'has' if one else 'have'} the right sizes" if fast else f"{'is' if one else 'are'} whole"
    rest = f"{missing} {'is' if missing == 1 else 'are'} not built yet"
    console.print(f"[green]verified[/green] {url}: {counted(whole, 'shard')} {how}, {rest}")
    if teacher:
        from ...keeping.asking import ask_teachers

        ask_teachers(load_cache_config(Path(path)), teacher, secrets.randbelow(1 << 31) if seed is None else seed)


def find_damages(members: Sequence[Member], fast: bool) -> list[Damage]:
    """What is wrong, with a bar while it is looked for."""
    total, done = sum(len(member.manifest.shards) for member in members), 0
    with progress_bar("verify", "shards") as bar:

        def tick(shard: str) -> None:
            nonlocal done
            done += 1
            bar.update(done, total)

        return verify_members(members, tick, fast)
