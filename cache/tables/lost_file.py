"""The error for a file of a finished shard that is not there or cannot be opened, with what has it made again."""

import re

from ..errors import DamagedCacheError
from ..storage.store import Store

_EXTENSION = re.compile(r"/extensions/\d+-[0-9a-f]{12}$")  # below the cache that is repaired


def lost_file(store: Store, name: str, error: OSError) -> DamagedCacheError:
    """Names the file `name` of a store, why it cannot be read, and the commands that mend its cache."""
    return DamagedCacheError(f"{store.url}/{name} cannot be read ({error.strerror or error}); {repair_advice(store)}")


def repair_advice(store: Store) -> str:
    """How to have the shards of a store again that have lost a file."""
    cache = _EXTENSION.sub("", store.url)
    again = "then `teachercache cache build` with its configuration to have the shard again"
    return f"run `teachercache cache repair {cache}`, {again}"
