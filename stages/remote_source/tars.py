"""Which tar files in an object store a source's path means: the same globs and braces as for local ones.

Folders are listed once each, however many names a brace pattern gives. It refuses a pattern without a match.
"""

import glob
from collections.abc import Sequence
from fnmatch import fnmatchcase

from braceexpand import braceexpand

from ...cache.remote.address import below, scheme_of
from ...cache.remote.client import RemoteFile, client_of
from ...cache.remote.errors import RemoteError
from ...data import DataError
from ...data.tar_files import refuse_compressed_name
from .tar import RemoteTar


def remote_tars(patterns: Sequence[str]) -> list[RemoteTar]:
    """The files that the patterns match, each once, sorted by address. Raises DataError for a pattern without a match,
    a compressed file, and a store that cannot be listed."""
    listings: dict[tuple[str, bool], Sequence[RemoteFile]] = {}
    try:
        parts = [(pattern, part) for pattern in patterns for part in braceexpand(pattern)]
        found = {str(file): file for pattern, part in parts for file in _matches(pattern, part, listings)}
    except RemoteError as error:
        raise DataError(f"source.path: {error}") from error
    except ValueError as error:
        raise DataError(f"source.path: a brace has no partner in {', '.join(patterns)}") from error
    return [found[address] for address in sorted(found)]


def _matches(pattern: str, part: str, listings: dict[tuple[str, bool], Sequence[RemoteFile]]) -> list[RemoteTar]:
    if scheme_of(part) in ("http", "https"):
        raise DataError(
            f"source.path: {part!r} is no local path, and a web server lists no files. Copy the shards to a local "
            "folder, or to an object store (s3://bucket/...)"
        )
    folder, names = _split(part)
    deep = len(names) > 1
    if (folder, deep) not in listings:
        client = client_of(folder)
        listings[folder, deep] = list(client.tree("")) if deep else client.files("")
    files = [file for file in listings[folder, deep] if _fits(file.key.split("/"), names)]
    if not files:
        raise DataError(f"source.path: no file matches {pattern!r} (looked for {part})")
    for file in files:
        refuse_compressed_name(below(folder, file.key))
    return [RemoteTar(folder, file.key, file.bytes, file.version) for file in files]


def _split(pattern: str) -> tuple[str, list[str]]:
    """The folder that is certain, and the names below it, of which the first has a wildcard or is the last."""
    scheme, _, rest = pattern.partition("://")
    names = rest.split("/")
    certain = next((i for i, name in enumerate(names) if glob.has_magic(name)), len(names) - 1)
    certain = max(1, min(certain, len(names) - 1))
    return f"{scheme}://{'/'.join(names[:certain])}", names[certain:]


def _fits(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether names of a path fit those of a pattern; `**` stands for any number of them."""
    if not pattern:
        return not names
    if pattern[0] == "**":
        return any(_fits(names[skip:], pattern[1:]) for skip in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], pattern[0]) and _fits(names[1:], pattern[1:])
