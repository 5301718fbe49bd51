"""Libraries of an extra, imported when a target needs them; a missing one is an error that names what installs it."""

from importlib import import_module
from typing import Any

from ...errors import StageError


def library(name: str, extra: str) -> Any:
    """The module `name`. Raises StageError when it is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        raise StageError(
            f"{name.partition('.')[0]} is needed and cannot be imported ({error}): pip install 'teachercache[{extra}]'"
        ) from error
