"""Which tar files a source's path means: globs, brace patterns, single files, or a list of them.

It refuses to guess: a pattern that matches nothing is an error, and so is one missing file of a brace range.
"""

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from braceexpand import braceexpand

from .errors import DataError

_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


def tar_files(patterns: str | Sequence[str]) -> list[Path]:
    """The files that the patterns match, each once, sorted by path.

    Raises DataError for a pattern without a match, a folder or a compressed file.
    """
    patterns = (patterns,) if isinstance(patterns, str) else patterns
    files = {Path(os.path.abspath(file)) for pattern in patterns for file in _expand(pattern)}
    if not files:
        raise DataError("source.path is an empty list: name at least one tar file")
    return sorted(files)


def _expand(pattern: str) -> list[str]:
    if "://" in pattern or pattern.startswith("pipe:"):
        raise DataError(f"source.path: {pattern!r} is no local path. Copy the shards to a local or mounted folder")
    if os.path.exists(pattern):
        return [_checked(pattern)]
    try:
        return [_checked(file) for part in braceexpand(pattern) for file in _matches(part)]
    except ValueError as error:
        raise DataError(f"source.path: {pattern!r} has a brace without its partner") from error


def _matches(pattern: str) -> list[str]:
    matches = glob.glob(pattern, recursive=True) if glob.has_magic(pattern) else [pattern]
    if not any(map(os.path.exists, matches)):
        raise DataError(
            f"source.path: no file matches {pattern!r} (looked in {os.path.abspath(os.path.dirname(pattern))}). "
            "Relative paths start at the working directory"
        )
    return matches


def _checked(file: str) -> str:
    if os.path.isdir(file):
        raise DataError(
            f"source.path: {file!r} is a folder. Write '{file}/*.tar' for its shards, or set source.kind: folder"
        )
    refuse_compressed_name(file)
    return file


def refuse_compressed_name(file: str) -> None:
    """Raises DataError when a file's name says that it is compressed."""
    if file.lower().endswith(_COMPRESSED):
        raise DataError(
            f"source.path: {file!r} is compressed, and samples are read at random, which only a plain .tar allows. "
            "Decompress it; images are compressed already, so it hardly grows"
        )
