"""Students that teach other students of the same file: a chain of caches and trainings, in the order that it needs.

`teachers: {first: {student: cnn}}` makes student `cnn` of the file a teacher, whose signals are `first.<output>`. A
generation is what can be trained once those before it are. It refuses chains that close, and links that changed.
"""

import difflib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..config import CacheConfig, Config
from ..errors import ConfigError
from ..teachers.teacher_names import owner

if TYPE_CHECKING:
    from ...stages.student.trial.trial import Trial

_C = TypeVar("_C", bound=CacheConfig)


def with_folders(config: _C) -> _C:
    """The configuration with the folder of each student that teaches instead of its name: of the trial with the first
    seed, under the student's own arm. Raises ConfigError for a name that no student has."""
    if not isinstance(config, Config):
        return config
    own = {one.name: one.control or "distilled" for one in config.students}
    if config.teacher.student in own:
        raise ConfigError(
            f"teacher.student: {config.teacher.student} is a student of this file, which learns from its cache; make "
            "it one of `teachers`, and let `teacher` be a model that is there before"
        )
    found = {}
    for name, spec in config.teachers.items():
        if spec.student is not None and spec.student not in own and not Path(spec.student).is_dir():
            _refuse_unknown(name, spec.student, own)
        if spec.student in own:
            folder = config.run / "students" / spec.student / own[spec.student] / f"seed-{config.train.seeds[0]}"
            spec = spec.model_copy(update={"student": str(folder)})
        found[name] = spec
    return config.model_copy(update={"teachers": found})


def links(config: CacheConfig) -> dict[str, str]:
    """{teacher: the student of this file that it is}."""
    if not isinstance(config, Config):
        return {}
    students = config.run / "students"
    known = {(students / one.name).absolute(): one.name for one in config.students}
    folders = {name: Path(spec.student).absolute() for name, spec in config.teachers.items() if spec.student}
    return {name: known[up] for name, folder in folders.items() for up in folder.parents if up in known}


def generations(config: Config) -> tuple[Config, ...]:
    """The configuration in parts, in order: each has the students that can be trained when those before are, and the
    teachers that stand by then. One part where no student teaches. Raises ConfigError for a chain that closes."""
    linked = links(config)
    if not linked:
        return (config,)
    found: list[Config] = []
    done: set[str] = set()
    while len(done) < len(config.students):
        part = _part(config, [name for name in config.teachers if linked.get(name) in (None, *done)], done)
        if not part.students:
            left = ", ".join(one.name for one in config.students if one.name not in done)
            raise ConfigError(f"teachers: {left} teach each other in a circle; one of them must learn from another")
        found.append(part)
        done |= {one.name for one in part.students}
    return tuple(found)


def within_reach(config: _C) -> tuple[_C, tuple[str, ...]]:
    """The configuration without the teachers that are students of this file and not trained yet, and without the
    students that need them; and the names of those teachers."""
    from ...stages.student.files.saved import is_saved

    waiting = tuple(name for name in links(config) if not is_saved(Path(str(config.teachers[name].student))))
    if not waiting or not isinstance(config, Config):
        return config, ()
    return _part(config, [name for name in config.teachers if name not in waiting], ()), waiting


def by_generation(config: Config, trials: Sequence["Trial"]) -> list[tuple[Config, tuple["Trial", ...]]]:
    """The trials that were chosen, generation by generation; generations without one are left out."""
    parts = [(part, {one.name for one in part.students}) for part in generations(config)]
    split = [(part, tuple(trial for trial in trials if trial.student.name in names)) for part, names in parts]
    return [(part, chosen) for part, chosen in split if chosen]


def check_links(config: CacheConfig) -> None:
    """Raise ConfigError when a student that teaches is not the one any more whose signals the cache holds."""
    from ...cache import open_cache
    from ...cache.opening import cache_exists
    from ...stages.student.files.saved import is_saved
    from ...stages.teacher.families.family import find_folder, identify

    linked = links(config)
    if not linked or not cache_exists(config.cache_path):
        return
    kept = open_cache(config.cache_path).manifest.fingerprint.get("signals", {})
    for name, student in linked.items():
        spec = config.teachers[name]
        told = [kept[signal].get("teacher") for signal in kept if owner(config, signal) == name]
        if told and is_saved(Path(str(spec.student))) and identify(spec, find_folder(spec)) not in told:
            raise ConfigError(
                f"teachers.{name}: {student} ({spec.student}) is not the student any more that said what the cache "
                f"{config.cache_path} holds as {name}.*: it was trained again, and what learnt from it stands on the "
                "old one. Restore it, or begin the chain anew under another output"
            )


def _part(config: _C, teachers: Collection[str], done: Collection[str]) -> _C:
    """With these teachers alone, their signals, and the students not `done` that learn from nobody else."""
    assert isinstance(config, Config)
    signals = {
        name: spec for name, spec in config.cache.signals.items() if (owner(config, name) or None) in (None, *teachers)
    }
    students = tuple(one for one in config.students if one.name not in done and _needs(config, one.name) <= {*teachers})
    cache = config.cache.model_copy(update={"signals": signals})
    named = {name: spec for name, spec in config.teachers.items() if name in teachers}
    return config.model_copy(update={"teachers": named, "cache": cache, "students": students})


def _needs(config: Config, student: str) -> set[str]:
    """The teachers beside the main one that a student learns from; labels alone need none."""
    spec = next(one for one in config.students if one.name == student)
    if spec.control == "labels-only":
        return set()
    return {owner(config, signal) for term in spec.terms for signal in term.all_signals} - {""}


def _refuse_unknown(teacher: str, student: str, known: Mapping[str, str]) -> None:
    near = difflib.get_close_matches(student, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"students of this file are {', '.join(known)}"
    raise ConfigError(
        f"teachers.{teacher}.student: {student} is neither a student of this file nor the folder of a trained one; "
        f"{hint}"
    )
