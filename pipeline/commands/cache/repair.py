"""`teachercache cache repair`: takes what is broken out of use, and says how to have it again."""

from collections.abc import Sequence
from typing import Annotated

import typer

from ....cache.errors import DamagedCacheError
from ....cache.grid.member import Member
from ....cache.keeping.damage import Damage
from ....cache.keeping.repair import repair_members
from ....cache.opening import open_members
from ...console import console
from .location import CachePath, DryRun, cache_address, is_config
from .verify import find_damages


def repair(
    path: CachePath,
    fast: Annotated[bool, typer.Option("--fast", help="compare the sizes of files only; reads no values")] = False,
    dry_run: DryRun = False,
) -> None:
    """Verify a cache, take broken shards out of use and remove their files.

    Example: [bold]teachercache cache repair runs/demo/cache --dry-run[/bold]

    Their receipts move to receipts/damaged/. Whole shards are not touched, and a second repair finds nothing to do.
    """
    members = open_members(cache_address(path))
    damages = find_damages(members, fast)
    for damage in damages:
        console.print(f"[red]damaged[/red] {damage}", soft_wrap=True)
    done = repair_members(members, damages, dry_run)
    if done.retired:
        said, shards = "would be taken" if dry_run else "taken", ", ".join(it.shard for it in done.retired)
        console.print(
            f"[yellow]repair[/yellow] {members[0].url}: {said} out of use: {shards}\n"
            f"make them again: {remedy(path, members, done.retired)}",
            soft_wrap=True,
        )
    if done.left:
        raise DamagedCacheError(f"{done.left[0]}: this cannot be repaired; restore it from a copy, or build anew")
    if not damages:
        console.print(f"[green]repair[/green] {members[0].url}: nothing is broken")


def remedy(path: str, members: Sequence[Member], retired: Sequence[Damage]) -> str:
    """The command that makes shards of a cache again."""
    derived = members[0].manifest.fingerprint.get("derived")
    if derived:
        return f"the `teachercache cache {derived['verb']}` that made this cache, again"
    verb = "extend" if any(damage.extension for damage in retired) else "build"
    command = f"teachercache cache {verb}"
    return f"{command} {path}" if is_config(path) else f"`{command}` with the YAML file of the run"
