"""Globs of `cache.signals`, replaced by the signals that they mean when a configuration is read."""

from typing import TypeVar

from ..config import CacheConfig

_C = TypeVar("_C", bound=CacheConfig)


def without_globs(config: _C) -> _C:
    """The configuration with every glob spelt out: by the points of its teacher, or, where the teacher is not at hand,
    by the signals of the cache that it was heard for.

    Nothing is looked at where there is no glob. Raises StageError for a glob that matches nothing.
    """
    from ...stages.point_globs import expand_globs, is_glob

    if not any(is_glob(name) for name in config.cache.signals):
        return config
    names: list[str] = []

    def known() -> list[str]:
        names[:] = names or _known(config)
        return names

    signals = expand_globs(config.cache.signals, known, "the teacher")
    return config.model_copy(update={"cache": config.cache.model_copy(update={"signals": signals})})


def _known(config: CacheConfig) -> list[str]:
    from ...cache import open_cache
    from ...cache.opening import cache_exists
    from ...stages.errors import StageError
    from ...stages.teacher.known_points import known_points
    from ..students.generations import within_reach

    teachers = within_reach(config)[0].teachers  # of a student that is not trained yet nothing is known
    try:
        others = [f"{name}.{point}" for name, spec in teachers.items() for point in known_points(spec)]
        return [*known_points(config.teacher), *others]
    except StageError:
        if not cache_exists(config.cache_path):
            raise
        return list(open_cache(config.cache_path).signals)
