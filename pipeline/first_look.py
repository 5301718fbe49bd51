"""What can be said of the students before a teacher runs for hours: signals and callables that there are not.

It refuses little: `teachercache check` tries everything on two samples.
"""

import difflib

from ..cache.opening import cache_exists
from ..stages.errors import StageError
from ..stages.student.models.builders import StudentShape, check_arguments
from ..stages.student.trial.trial import needed_signals
from .config import Config
from .training import chosen_trials


def look_at_students(config: Config) -> None:
    """Raise StageError for a student that cannot be trained from the cache that will be built; a cache that stands
    already may hold more than the configuration names, and is not looked at."""
    if cache_exists(config.cache_path):
        return
    kept = list(config.cache.signals)
    for trial in chosen_trials(config):
        for name in needed_signals([trial]):
            if name not in kept:
                who, near = f"students.{trial.student.name}", difflib.get_close_matches(name, kept, 1)
                hint = f"did you mean {near[0]}?" if near else "name it there"
                raise StageError(f"{who}: cache.signals has no signal {name!r}, only {', '.join(kept)}; {hint}")
        check_arguments(trial.student, StudentShape(2, config.views.channels, config.views.size))  # any classes do
