"""teachercache: run the teacher once, train many students.

`teachercache.open_cache(path)` opens a cache for reading with numpy alone. Everything else is imported from its room:
`teachercache.data` (samples and views), `teachercache.cache` (arrays on disk), `teachercache.stages` (teacher, student,
deploy) and `teachercache.pipeline` (configuration and command line).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .cache import Cache, open_cache

__version__ = "0.1.0"
__all__ = ["Cache", "open_cache"]


def __getattr__(name: str) -> object:
    """Import the cache when it is asked for: the command line hears signals before it imports anything."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import cache

    return getattr(cache, name)
