"""`teachercache cache build`: phase one."""

from typing import Annotated

import typer

from ...config import load_cache_config
from ...interruption import interruptible
from ...shard_choice import choose_shards
from ..arguments import ConfigPath


def build(
    config: ConfigPath,
    shards: Annotated[str | None, typer.Option(help="only these shards: names, or numbers such as 0-3,7")] = None,
) -> None:
    """Run the teacher over every shard that is missing, and keep what it says.

    Example: [bold]teachercache cache build recipe.yaml[/bold]

    The same command again continues where it stopped.
    """
    from ...building import build_caches

    loaded = load_cache_config(config)
    with interruptible() as stop:
        build_caches(loaded, stop, choose_shards(loaded, shards))
