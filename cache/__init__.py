"""Arrays on disk: what a teacher said, in shards that mirror the source. numpy, zarr, pyarrow; no torch, no models."""

from .batch import CacheBatch
from .cache import Cache
from .codecs import HeadLogits, Ragged, SampledTargets, SparseLogits, TokenLogits
from .errors import CacheError, CacheWriteError, DamagedCacheError, SmallerCacheError, StaleCacheError
from .format.manifest import Manifest
from .format.row_index import RowIndex
from .format.schema import SignalSchema
from .grid.rectangle import Rectangle
from .opening import create_cache, open_cache

__all__ = [
    "Cache",
    "CacheBatch",
    "CacheError",
    "CacheWriteError",
    "DamagedCacheError",
    "HeadLogits",
    "Manifest",
    "Ragged",
    "Rectangle",
    "RowIndex",
    "SampledTargets",
    "SignalSchema",
    "SmallerCacheError",
    "SparseLogits",
    "StaleCacheError",
    "TokenLogits",
    "create_cache",
    "open_cache",
]
