"""An export's folder on disk: whole or not at all, and never over another one unless that is asked for."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import xxhash

from ...errors import StageError
from ...student.files.durable_files import write_errors
from .manifest import DOCUMENT

_PIECE = 1 << 24


@contextmanager
def new_folder(out: Path, replace: bool) -> Iterator[Path]:
    """A folder to write into, which becomes `out` when the block ends well, and vanishes when it does not.

    Raises StageError when `out` is there, unless it is an export and `replace` is said.
    """
    if out.exists() and not ((out / DOCUMENT).exists() and replace):
        hint = "--replace writes it anew" if (out / DOCUMENT).exists() else "it is no export; name another --out"
        raise StageError(f"{out} is there already: {hint}")
    temporary = out.with_name(f".{out.name}.{uuid4().hex[:12]}.tmp")
    try:
        with write_errors(out):
            temporary.mkdir(parents=True)
            yield temporary
            if out.exists():
                shutil.rmtree(out)
            os.rename(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def graph_files(file: Path) -> list[Path]:
    """All files of a graph: what lies in its folder, or shares its name."""
    if file.is_dir():
        return sorted(path for path in file.rglob("*") if path.is_file())
    return sorted(path for path in file.parent.glob(f"{file.stem}.*") if path.is_file())


def files_xxh3(files: list[Path]) -> str:
    """xxh3-128, in hex, of the files' bytes end to end."""
    state = xxhash.xxh3_128()
    for path in files:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                state.update(piece)
    return state.hexdigest()
