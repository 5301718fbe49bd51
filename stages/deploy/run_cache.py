"""The run that a finished student belongs to, and the training cache in that run's folder: `<run>/cache`.

A cache that the configuration keeps elsewhere is not looked for: nothing beside the configuration says where it is.
"""

from pathlib import Path

from ...cache import Cache, CacheError, open_cache
from ...cache.opening import cache_exists


def run_folder(student: Path) -> Path:
    """The run's folder: `<run>/students/<student>/<arm>/seed-<n>` is the student's."""
    place = student.resolve()
    return place.parents[3] if len(place.parents) > 3 else place


def run_cache(student: Path) -> Cache | None:
    """The training cache in the run's folder; None where there is none. Raises CacheError for one that is broken."""
    path = run_folder(student) / "cache"
    return open_cache(path) if cache_exists(path) else None


def run_classes(student: Path, count: int) -> tuple[str, ...]:
    """The names of a student's `count` classes, as the run's cache has them; () where it cannot be read, names none or
    another number of them, or where the student does not lie in a run: a number is better than a wrong name."""
    if run_folder(student) / "students" not in student.resolve().parents:
        return ()
    try:
        cache = run_cache(student)
    except CacheError:
        return ()
    names = () if cache is None else tuple(cache.manifest.classes)
    return names if len(names) == count else ()
