"""Sources whose tar shards lie in an object store: where the cache's way to remote files meets the room of samples."""

from .tars import remote_tars

__all__ = ["remote_tars"]
