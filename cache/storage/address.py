"""The store that an address names."""

from pathlib import Path

from .folder import FolderStore
from .store import Store


def open_store(address: str | Path) -> Store:
    """The store at a path. Nothing is read or made yet."""
    return FolderStore(Path(address))
