"""Whether the folder of a new cache is free, or holds the beginning of this very cache. It refuses every other one."""

import json
from typing import Any

from ..errors import StaleCacheError
from ..format.fingerprint import differences
from ..format.manifest import Manifest
from ..opening import cache_exists, open_cache


def check_standing(out: str, manifest: Manifest) -> None:
    """Raise StaleCacheError, naming every field that differs, when the cache at `out` is not the one to be made."""
    if not cache_exists(out):
        return
    lines = differences(_asked(open_cache(out, extensions=False).manifest), _asked(manifest))
    if lines:
        listing = "\n  ".join(line.replace("the configuration asks for", "the new one would have") for line in lines)
        raise StaleCacheError(
            f"{out} holds another cache than the one to be made:\n  {listing}\n"
            "Name another folder, or remove this one to make it anew."
        )


def _asked(manifest: Manifest) -> Any:
    """All that decides which shards are made, and of what, as JSON has it."""
    content = {
        **manifest.fingerprint,
        "kept": {name: schema.identity() for name, schema in manifest.signals.items()},
        "shards": list(manifest.shards),
        "rows": [manifest.first_view, manifest.views],
    }
    return json.loads(json.dumps(content))
