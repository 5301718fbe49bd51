"""The manifest: what all shards of a cache agree on. Written once, when the first teacher output is known."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import CacheError
from ..storage.durable import publish_file
from .document import digest, read_document, seal_document
from .schema import SignalSchema, check_name, read_schema

MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """`fingerprint` decides whether a cache is the right one (see fingerprint.py). `shards` are all source shards in
    order; `views` is how many rows a sample has; `parameters` names the columns of the rows' view parameters; `teacher`
    and `versions` are for people."""

    fingerprint: Mapping[str, Any]
    signals: Mapping[str, SignalSchema]
    shards: tuple[str, ...]
    views: int
    block: int
    parameters: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    teacher: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Names this manifest in the receipts of its shards."""
        return digest(dict(self.fingerprint))

    def row_bytes(self) -> int:
        """Bytes of one row over all signals, without the row index."""
        return sum(schema.row_bytes() for schema in self.signals.values())


def publish_manifest(root: Path, manifest: Manifest) -> bool:
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
    }
    return publish_file(root / MANIFEST_FILE, seal_document(content))


def read_manifest(root: Path) -> Manifest:
    """The manifest of a cache. Raises CacheError when there is none or it cannot be believed."""
    try:
        content = read_document(root / MANIFEST_FILE)
    except (FileNotFoundError, NotADirectoryError):
        raise CacheError(
            f"{root} is no cache (it has no {MANIFEST_FILE}); `teachercache cache build` makes one"
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
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CacheError(f"{root / MANIFEST_FILE} cannot be read by this version ({error!r})") from error
    if not (isinstance(views, int) and 0 < views < 1 << 16 and isinstance(block, int) and 0 < block < 1 << 24):
        raise CacheError(f"{root / MANIFEST_FILE}: views {views!r} or block {block!r} is impossible")
    return manifest
