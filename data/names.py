"""Names: what a sample's id may be, and a shard's name, made from its file's path, safe as a folder on any system.

It refuses to number shards: a number would change when a file is added, and a cache is matched by name.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from .errors import DataError

# Control characters, and the surrogates by which Python stands for bytes that are not UTF-8.
_NO_TEXT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


def shard_names(files: Sequence[Path]) -> tuple[str, ...]:
    """One name a file, in the files' order: its base name without `.tar`.

    When two base names are equal, all names carry the folders in which the files differ: `day1--train-0000`.
    Raises DataError when two names are still equal (whatever the case) once unsafe characters are replaced.
    """
    names = [_safe(_stem(file.name)) for file in files]
    if _twins(names) is not None:
        root = os.path.commonpath([file.parent for file in files])
        names = [_safe("--".join((*file.relative_to(root).parts[:-1], _stem(file.name)))) for file in files]
    twins = _twins(names)
    if twins is not None:
        one, other = (files[index] for index in twins)
        raise DataError(f"{one} and {other} would both be shard {names[twins[0]]!r}: rename one of the files")
    return tuple(names)


def is_text(name: str) -> bool:
    """Whether a file's name can be written to Arrow and to a terminal, and so be a sample's id."""
    return _NO_TEXT.search(name) is None


def _stem(name: str) -> str:
    return name[:-4] if name.lower().endswith(".tar") else name


def _safe(name: str) -> str:
    """Zarr reserves names that begin with `__` or are dots alone; a name that begins with a dot is a hidden folder."""
    safe = _UNSAFE.sub("_", name)
    return safe if safe[:1].isalnum() else f"shard{safe}"


def _twins(names: Sequence[str]) -> tuple[int, int] | None:
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        first = seen.setdefault(name.casefold(), index)
        if first != index:
            return first, index
    return None
