"""What goes wrong with a cache. Each message names the cache, shard or signal and says what to do."""


class CacheError(Exception):
    """A cache that cannot be used as asked (missing, incomplete, unknown signal, hostile metadata)."""

    exit_code = 2


class StaleCacheError(CacheError):
    """The cache was built from other weights, views, preprocessing or samples than the ones asked for."""


class SmallerCacheError(StaleCacheError):
    """The cache holds less than is asked for (fewer signals, views or shards); `teachercache cache extend` adds it."""


class DamagedCacheError(CacheError):
    """Bytes on disk are not the bytes that were written. `teachercache cache verify` names every one."""

    exit_code = 1


class CacheWriteError(CacheError):
    """The cache could not be written (full disk, unwritable folder). Finished shards are untouched."""

    exit_code = 1


class CacheUnreachableError(CacheError):
    """The store of the cache does not answer, or refuses; what it holds is neither right nor wrong."""

    exit_code = 1
