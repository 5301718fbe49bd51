"""Which cache a verb is given: a folder or an address itself, or the training cache of a configuration."""

from pathlib import Path
from typing import Annotated

import typer

from ....cache.format.manifest import MANIFEST_FILE
from ...config import load_cache_config

CachePath = Annotated[str, typer.Argument(metavar="CACHE", help="a cache's folder, or the YAML file of the run")]
NewPath = Annotated[str, typer.Argument(metavar="OUT", help="folder of the new cache")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="say what would be done, and do nothing")]


def is_config(given: str) -> bool:
    """Whether a configuration is meant, and no cache."""
    path = Path(given)
    return path.suffix in (".yaml", ".yml") and not path.is_dir() and not (path / MANIFEST_FILE).exists()


def cache_address(given: str) -> str:
    """The address of the cache that is meant. Raises ConfigError for a configuration that cannot be read."""
    return str(load_cache_config(Path(given)).cache_path) if is_config(given) else given
