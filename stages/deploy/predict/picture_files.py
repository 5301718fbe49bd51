"""The picture files that a user means: files as they are named, folders with all that lies below them."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...errors import StageError

EXTENSIONS = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"))


def picture_files(paths: Iterable[Path]) -> list[Path]:
    """Files in the order given, those of a folder sorted; hidden ones are left out. Raises StageError for a path that
    is not there, and a folder without a picture."""
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            if not path.is_file():
                raise StageError(f"there is no file or folder {path}")
            found.append(path)
            continue
        below = sorted(_below(path))
        if not below:
            raise StageError(f"folder {path} holds no picture ({', '.join(sorted(EXTENSIONS))})")
        found += below
    return found


def _below(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS:
                yield Path(root, name)
