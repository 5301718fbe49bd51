"""Which teachers of a configuration `teacher describe` describes: one that is named, or all in turn.

It refuses a name that no teacher has, and a teacher that is a student of the file and not trained yet.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import replace

from ...stages.teacher.describing import DescribedTeacher, describe_teacher
from ..building import cache_job
from ..config import CacheConfig
from ..console import errors
from ..errors import ConfigError
from ..students.generations import within_reach

MAIN = ""  # the name of the teacher that has none in the file


def describe_teachers(config: CacheConfig, name: str | None = None) -> Iterator[tuple[str, DescribedTeacher]]:
    """(name, what it is) of the main teacher, under "", and of those under `teachers` that can be heard by now, whether
    signals of theirs are asked for or not; of `name` alone where it is given. Each is loaded when its turn comes.

    Raises ConfigError for a name that no teacher has, and for one of a student that is not trained yet.
    """
    reachable, waiting = within_reach(config)
    if name is not None:
        _check_name(config, name, waiting)
    main = cache_job(reachable)
    specs = {MAIN: main.teacher, **reachable.teachers}
    for one in specs if name is None else [name]:
        yield one, describe_teacher(replace(main, teacher=specs[one], signals={}, keep_pixels=False))
    for one in waiting if name is None else ():
        errors.print(f"teachers.{one} is a student that is not trained yet, and is not described", soft_wrap=True)


def _check_name(config: CacheConfig, name: str, waiting: tuple[str, ...]) -> None:
    if name in waiting:
        raise ConfigError(f"teachers.{name} is a student that is not trained yet: `teachercache run` trains it")
    if name not in config.teachers:
        raise ConfigError(f"--teacher {name}: {_hint(name, config.teachers)}")


def _hint(name: str, known: Mapping[str, object]) -> str:
    if not known:
        return "the file has no `teachers` beside the main one, which is described without the option"
    near = difflib.get_close_matches(name, known, 1)
    told = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    return f"no teacher of the file is named so; {told}"
