"""`teachercache cache extend`: adds signals, views, shards or another teacher to a cache."""

from ...config import load_cache_config
from ...interruption import interruptible
from ..arguments import ConfigPath
from .location import DryRun


def extend(config: ConfigPath, dry_run: DryRun = False) -> None:
    """Compute what the configuration asks for and the cache lacks: new signals, more views, new shards of the source.

    Example: [bold]teachercache cache extend recipe.yaml --dry-run[/bold]

    Only what is missing goes through the teacher, into extensions/ below the cache; shards that stand are not touched.
    A second teacher is added by a configuration of its own with the same cache.path and other signal names. The same
    command again continues where it stopped.
    """
    from ...extending import extend_caches
    from ...students.generations import within_reach

    loaded, _ = within_reach(load_cache_config(config))
    with interruptible() as stop:
        extend_caches(loaded, stop, dry_run)
