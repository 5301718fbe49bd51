"""Libraries of an extra, imported when they are needed; a missing one is an error that names what installs it."""

from importlib import import_module
from pathlib import Path
from typing import Any

from ...errors import StageError


def library(name: str, extra: str, file: Path | None = None) -> Any:
    """The module `name`, which `file` needs. Raises StageError when it cannot be imported."""
    try:
        return import_module(name)
    except ImportError as error:
        what = f"{name.partition('.')[0]} is needed" if file is None else f"{file} needs {name.partition('.')[0]}"
        raise StageError(f"{what} and cannot be imported ({error}): pip install 'teachercache[{extra}]'") from error
