"""teachercache: run the teacher once, train many students.

`teachercache.open_cache(path)` opens a cache for reading with numpy alone. Everything else is imported from its room:
`teachercache.data` (samples and views), `teachercache.cache` (arrays on disk), `teachercache.stages` (teacher, student,
deploy) and `teachercache.pipeline` (configuration and command line).
"""

from .cache import Cache, open_cache

__version__ = "0.1.0"
__all__ = ["Cache", "open_cache"]
