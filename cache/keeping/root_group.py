"""The group of all arrays, shards/zarr.json: of no shard, so no receipt proves it. Readers of rows do without it."""

import json

from ..errors import DamagedCacheError
from ..format.zarr_metadata import ROOT_FILE, root_json
from ..grid.member import Member


def check_root(member: Member) -> None:
    """Raise DamagedCacheError unless it says what every cache says."""
    try:
        found = json.loads(member.store.read(ROOT_FILE))
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedCacheError(f"{member.url}/{ROOT_FILE} cannot be read ({error})") from error
    if found != json.loads(root_json()):
        raise DamagedCacheError(f"{member.url}/{ROOT_FILE} is not the root group of a cache")


def write_root(member: Member) -> None:
    """Write it anew."""
    member.store.replace(ROOT_FILE, root_json())
