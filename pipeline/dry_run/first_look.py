"""What can be said of the students before a teacher runs for hours: signals, fields and callables that there are not.

It refuses little: `teachercache check` tries everything on two samples.
"""

import difflib
from collections.abc import Sequence
from pathlib import Path

from ...cache.opening import cache_exists
from ...data.spec import SourceSpec
from ...stages.errors import StageError
from ...stages.student.inputs.feed import check_source
from ...stages.student.inputs.labels import check_label
from ...stages.student.models.builders import StudentShape, check_arguments
from ...stages.student.trial.trial import Trial, needed_fields, needed_signals, needed_sources
from ...stages.tokenizer import load_tokenizer
from ..config import Config
from ..students.training import chosen_trials


def look_at_students(config: Config) -> None:
    """Raise StageError for a student that cannot be trained from the cache that will be built; a cache that stands
    already may hold more than the configuration names, and is not looked at."""
    if cache_exists(config.cache_path):
        return
    kept, trials = list(config.cache.signals), chosen_trials(config)
    for trial in trials:
        for name in needed_signals([trial]):
            if name not in kept:
                who, near = f"students.{trial.student.name}", difflib.get_close_matches(name, kept, 1)
                hint = f"did you mean {near[0]}?" if near else "name it there"
                raise StageError(f"{who}: cache.signals has no signal {name!r}, only {', '.join(kept)}; {hint}")
        check_arguments(trial.student, StudentShape(2, config.views.channels, config.views.size))  # any classes do
    look_at_fields(config, trials)


def look_at_fields(config: Config, trials: Sequence[Trial]) -> None:
    """What students see and label fields must be in the source, and what they see in every held-out set."""
    kinds, sources = field_kinds(config.source), needed_sources(trials)
    for source, place in sources.items():
        check_source(source, place, kinds)
        for name, held_out in config.evaluate.named_sets.items():
            check_source(source, f"{place}, and in evaluation ({name})", field_kinds(held_out))
        if source.tokenizer is not None:
            load_tokenizer(Path(source.tokenizer), f"{place}.tokenizer")
    labelled = config.train.labelled
    for label in (*needed_fields(trials), *(labelled.fields or () if labelled else ())):
        check_label(label, kinds)


def field_kinds(spec: SourceSpec) -> dict[str, str]:
    """Kind of each field that a source's settings name, the image among them."""
    return {**({"image": "image"} if spec.image else {}), **{name: field.kind for name, field in spec.fields.items()}}
