"""Opens and creates caches: finds the members, holds them against what is asked for, and joins them."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from .cache import Cache
from .errors import CacheWriteError
from .format.constants import publish_constants
from .format.fingerprint import check_fingerprint
from .format.manifest import MANIFEST_FILE, Manifest, publish_manifest, read_manifest
from .format.zarr_metadata import ROOT_FILE, root_json
from .grid.asked import Asked, fitting_members, require_all
from .grid.extension import extension_folder, extension_names, read_extension
from .grid.member import Member
from .reading.receipt_listing import write_table
from .storage.address import open_store


def open_cache(
    path: str | Path,
    asked: Mapping[str, object] | Asked | None = None,
    *,
    extensions: bool = True,
    check: bool = False,
) -> Cache:
    """Open a cache for reading, joined with its extensions.

    `asked` is what it must be: a fingerprint, or (see grid/asked.py) a rectangle and the fingerprints of its parts, and
    then only the extensions that it needs are joined. `extensions=False` opens the base alone. With `check` the bytes
    of each file are compared with its receipt before its first row is read. Raises CacheError when there is no cache,
    StaleCacheError when it was built from something else, SmallerCacheError when it lacks something.
    """
    members = open_members(path, extensions, check)
    if asked is None:
        return Cache(members)
    if isinstance(asked, Mapping):
        cache = Cache(members)
        check_fingerprint(cache.url, cache.manifest.fingerprint, asked)
        return cache
    members = fitting_members(members, asked)
    require_all(members, asked)
    return Cache(members)


def open_members(path: str | Path, extensions: bool = True, check: bool = False) -> list[Member]:
    """The base of a cache and its extensions, in the order in which they were begun."""
    store = open_store(path)
    base = Member("", store, read_manifest(store), check)
    names = extension_names(store) if extensions else ()
    return [base, *(Member(it, store.below(extension_folder(it)), read_extension(store, it), check) for it in names)]


def cache_exists(path: str | Path) -> bool:
    """Whether there is a cache at a path, finished or not."""
    try:
        open_store(path).read(MANIFEST_FILE)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # who opens it is told what is wrong
    return True


def note_receipts(path: str | Path) -> None:
    """Write the table of receipts of one directory, for those who open it next; without it they read the receipts."""
    store = open_store(path)
    with suppress(CacheWriteError):
        write_table(store, read_manifest(store))


def create_cache(path: str | Path, manifest: Manifest, constants: Mapping[str, np.ndarray] | None = None) -> Cache:
    """Create a cache, or open the one that is there if it has this manifest's fingerprint; extensions are left out.

    `constants` are written with it, by the names that its signals use. Raises StaleCacheError when another cache is
    there, CacheWriteError when the folder cannot be written.
    """
    store = open_store(path)
    store.publish(ROOT_FILE, root_json())
    if constants:
        manifest = replace(manifest, constants=publish_constants(store, constants))
    publish_manifest(store, manifest)
    return open_cache(path, manifest.fingerprint, extensions=False)
