"""Which cache a verb is given: a folder or an address itself, or the training cache of a configuration."""

from pathlib import Path
from typing import Annotated

import typer

from ....cache.format.manifest import MANIFEST_FILE
from ...config import load_config

CachePath = Annotated[str, typer.Argument(metavar="CACHE", help="a cache's folder, or the YAML file of the run")]
NewPath = Annotated[str, typer.Argument(metavar="OUT", help="folder of the new cache")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="say what would be done, and do nothing")]


def cache_address(given: str) -> str:
    """The address of the cache that is meant. Raises ConfigError for a configuration that cannot be read."""
    path = Path(given)
    if path.suffix not in (".yaml", ".yml") or path.is_dir() or (path / MANIFEST_FILE).exists():
        return given
    return str(load_config(path).cache_path)
