"""The manifest: what all shards of a cache agree on. Written once, when the first teacher output is known."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import CacheError
from ..storage.store import Store
from .constants import Constant, read_constants
from .document import digest, read_document, seal_document
from .privacy import Release, read_release
from .schema import SignalSchema, check_name, read_schema

MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """`fingerprint` decides whether a cache is the right one (see fingerprint.py). `shards` are all source shards in
    order; `views` is how many rows a sample has, and `first_view` the number of the first of them (0 but in an
    extension); `parameters` names the columns of the rows' view parameters; `constants` are what is kept once (see
    constants.py); `privacy` is what was spent on rows with noise; `teacher` and `versions` are for people."""

    fingerprint: Mapping[str, Any]
    signals: Mapping[str, SignalSchema]
    shards: tuple[str, ...]
    views: int
    block: int
    parameters: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    teacher: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, Constant] = field(default_factory=dict)
    first_view: int = 0
    privacy: tuple[Release, ...] = ()

    @property
    def digest(self) -> str:
        """Names this manifest in the receipts of its shards."""
        return digest(dict(self.fingerprint))

    def row_bytes(self) -> int:
        """Bytes of one row over all signals, without the row index."""
        return sum(schema.row_bytes() for schema in self.signals.values())


def publish_manifest(store: Store, manifest: Manifest) -> bool:
    """Publish a manifest; False when the cache has one already, which then stands."""
    content = {
        "format": 1,
        "fingerprint": dict(manifest.fingerprint),
        "signals": [schema.to_json() for schema in manifest.signals.values()],
        "shards": list(manifest.shards),
        "views": manifest.views,
        "block": manifest.block,
        "parameters": list(manifest.parameters),
        "classes": list(manifest.classes),
        "teacher": dict(manifest.teacher),
        "versions": dict(manifest.versions),
        "constants": {name: constant.to_json() for name, constant in manifest.constants.items()},
        **({"first_view": manifest.first_view} if manifest.first_view else {}),
        **({"privacy": [release.to_json() for release in manifest.privacy]} if manifest.privacy else {}),
    }
    return store.publish(MANIFEST_FILE, seal_document(content))


def read_manifest(store: Store) -> Manifest:
    """The manifest of a cache. Raises CacheError when there is none or it cannot be believed."""
    path = f"{store.url}/{MANIFEST_FILE}"
    try:
        content = read_document(store, MANIFEST_FILE)
    except (FileNotFoundError, NotADirectoryError):
        raise CacheError(
            f"{store.url} is no cache (it has no {MANIFEST_FILE}); `teachercache cache build` makes one"
        ) from None
    try:
        schemas = [read_schema(item) for item in content["signals"]]
        shards = tuple(check_name(name, "shard") for name in content["shards"])
        views, block = content["views"], content["block"]
        manifest = Manifest(
            dict(content["fingerprint"]),
            {schema.name: schema for schema in schemas},
            shards,
            views,
            block,
            tuple(content["parameters"]),
            tuple(content["classes"]),
            dict(content["teacher"]),
            dict(content["versions"]),
            read_constants(content.get("constants", {})),
            content.get("first_view", 0),
            tuple(read_release(release) for release in content.get("privacy", [])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CacheError(f"{path} cannot be read by this version ({error!r})") from error
    _check_numbers(manifest, path)
    _check_words(manifest, len(schemas), path)
    return manifest


def _check_numbers(manifest: Manifest, path: str) -> None:
    views, block, first = manifest.views, manifest.block, manifest.first_view
    if not (_is_count(views, 1, 1 << 16) and _is_count(block, 1, 1 << 24)):
        raise CacheError(f"{path}: views {views!r} or block {block!r} is impossible")
    if not _is_count(first, 0, (1 << 16) - views):
        raise CacheError(f"{path}: first_view {first!r} is impossible")


def _check_words(manifest: Manifest, signals: int, path: str) -> None:
    for what, names in (("parameters", manifest.parameters), ("classes", manifest.classes)):
        if not all(isinstance(name, str) for name in names):
            raise CacheError(f"{path}: {what} {names!r} are no names")
    if len(set(manifest.shards)) < len(manifest.shards) or len(manifest.signals) < signals:
        raise CacheError(f"{path}: a shard or a signal is named twice")


def _is_count(number: Any, least: int, end: int) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and least <= number < end
