"""Extensions: complete caches in folders of their own below a cache, each a rectangle that the cache lacked.

An extension exists from the moment its marker is published, after its manifest. It refuses to exist without one.
"""

from ..errors import CacheError, DamagedCacheError
from ..format.document import read_document, seal_document
from ..format.manifest import Manifest, read_manifest
from ..format.schema import check_name
from ..storage.store import Store

FOLDER = "extensions"


def extension_folder(name: str) -> str:
    """The extension's folder below the cache."""
    return f"{FOLDER}/{name}"


def extension_names(store: Store) -> tuple[str, ...]:
    """Names of the extensions there are, in the order in which they were begun."""
    listed = (entry.name for entry in store.entries(FOLDER))
    names = (name.removesuffix(".json") for name in listed if name.endswith(".json") and not name.startswith("."))
    return tuple(check_name(name, "extension") for name in names)


def publish_extension(store: Store, name: str) -> None:
    """Make an extension whose manifest stands a part of the cache. Raises CacheError when it has none."""
    manifest = read_manifest(store.below(extension_folder(name)))
    store.publish(_marker(name), seal_document({"format": 1, "manifest": manifest.digest}))


def read_extension(store: Store, name: str) -> Manifest:
    """The extension's manifest. Raises DamagedCacheError when it is not the one that the marker names."""
    below = store.below(extension_folder(name))
    try:
        manifest = read_manifest(below)
    except DamagedCacheError:
        raise
    except CacheError as error:
        raise DamagedCacheError(f"{below.url}: the extension cannot be read ({error})") from error
    try:
        content = read_document(store, _marker(name))
    except OSError as error:
        raise DamagedCacheError(f"{store.url}/{_marker(name)} cannot be read ({error.strerror})") from error
    if content.get("manifest") != manifest.digest:
        raise DamagedCacheError(f"{below.url}: the manifest is not the one that {_marker(name)} names")
    return manifest


def _marker(name: str) -> str:
    return f"{FOLDER}/{name}.json"
