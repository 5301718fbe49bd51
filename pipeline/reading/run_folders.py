"""Whether folders can be made where a run writes. It refuses a path that is a file, or lies below one."""

import os
from pathlib import Path

from ...cache.storage.address import Address
from ..errors import ConfigError


def check_run_folders(config: Path, folders: dict[str, Address]) -> None:
    """Raise ConfigError naming the first field of `folders` where no folder can be: a part of its path is a file."""
    for field, folder in folders.items():
        file = _file_in(folder) if isinstance(folder, Path) else None
        if file is not None:
            raise ConfigError(f"{config}: {field}: {file} is a file, so no folder can be at {folder}; choose another")


def _file_in(folder: Path) -> Path | None:
    """The lowest part of a path that is there, if it is no folder."""
    there = next((part for part in (folder, *folder.parents) if os.path.exists(part)), None)
    return None if there is None or os.path.isdir(there) else there
