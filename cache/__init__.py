"""Arrays on disk: what a teacher said, in shards that mirror the source. numpy, zarr, pyarrow; no torch, no models."""

from .batch import CacheBatch
from .cache import Cache, create_cache, open_cache
from .codecs import SparseLogits
from .errors import CacheError, CacheWriteError, DamagedCacheError, StaleCacheError
from .manifest import Manifest
from .row_index import RowIndex
from .schema import SignalSchema

__all__ = [
    "Cache",
    "CacheBatch",
    "CacheError",
    "CacheWriteError",
    "DamagedCacheError",
    "Manifest",
    "RowIndex",
    "SignalSchema",
    "SparseLogits",
    "StaleCacheError",
    "create_cache",
    "open_cache",
]
