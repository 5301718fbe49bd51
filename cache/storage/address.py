"""The store that an address names."""

from pathlib import Path

from ..errors import CacheError
from ..remote.address import beside, is_remote, local_path
from ..remote.errors import RemoteError
from .folder import FolderStore
from .store import Store

Address = str | Path  # a folder, or s3://bucket/prefix and its like


def open_store(address: Address) -> Store:
    """The store at a path or an address. Nothing is read or made yet."""
    try:
        remote = is_remote(address)
    except RemoteError as error:
        raise CacheError(str(error)) from error
    if remote:
        from ..format.recorded import recorded_files
        from .remote import RemoteStore

        return RemoteStore(str(address), recorded_files)
    return FolderStore(local_path(address))


def cache_address(text: str) -> Address:
    """From the text of a configuration: a Path, or an address as it is."""
    return text if is_remote(text) else local_path(text)


def sibling(address: Address, suffix: str) -> Address:
    """Where what belongs to a cache lies: the address with `suffix` behind its last name."""
    return beside(address, suffix)
