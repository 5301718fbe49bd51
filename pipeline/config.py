"""The one typed configuration: a YAML file, checked whole before anything starts.

An unknown key, a wrong type or a missing field is one error that names the file, the dotted path and the nearest valid
word. Relative paths in it start at the working directory.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from ..cache.spec import CacheSpec
from ..cache.storage.address import Address, cache_address, sibling
from ..data.spec import SourceSpec, ViewsSpec
from ..stages.deploy.architecture.spec import ArchitectureSpec
from ..stages.deploy.evaluation.spec import EvaluateSpec
from ..stages.student.spec import StudentSpec, TrainSpec
from ..stages.student.sweep.expansion import expand_sweeps
from ..stages.teacher.spec import TeacherSpec
from .errors import ConfigError
from .launching.spec import LaunchSpec
from .reading.run_folders import check_run_folders
from .reading.wrong_value import wrong_value
from .reading.yaml_text import parse_yaml

_C = TypeVar("_C", bound="CacheConfig")
_POINTS = ("logits", "embedding", "hidden", "attention", "qkv", "vision", "text", "actions", "projector", "spans")


def _no_point(name: str) -> str:
    if name in _POINTS:
        raise ValueError(f"{name} begins the names of points; choose another name for the teacher")
    return name


_TeacherName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$"), AfterValidator(_no_point)]


class CacheConfig(BaseModel):
    """What phase one is asked for: a cache, and no students."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="shown in the report")
    output: str = Field(description="folder of this run: cache, students and report")
    source: SourceSpec
    views: ViewsSpec = ViewsSpec()
    teacher: TeacherSpec
    teachers: dict[_TeacherName, TeacherSpec] = Field(
        default_factory=dict, description="other teachers by name; their signals are named <name>.<point>"
    )
    cache: CacheSpec
    launch: LaunchSpec = LaunchSpec()

    @model_validator(mode="after")
    def _main_teacher_is_heard(self) -> Self:
        if all(name.partition(".")[0] in self.teachers for name in self.cache.signals):
            raise ValueError("cache.signals: the main teacher is heard nowhere; make the one that is heard `teacher`")
        return self

    @model_validator(mode="after")
    def _private_alone(self) -> Self:
        if self.cache.private and self.teachers:
            raise ValueError("cache.signals: private signals are of one teacher: leave out `teachers`")
        if self.cache.private and isinstance(self, Config):
            raise ValueError(
                "cache.signals: a file with private signals builds a client's cache alone, because held-out caches "
                "have no noise; train from the cache in another file, with cache: {path: ..., given: true}"
            )
        return self

    @property
    def run(self) -> Path:
        """The run's folder."""
        return Path(self.output)

    @property
    def cache_path(self) -> Address:
        """The training cache: a folder, or an address in an object store."""
        return cache_address(self.cache.path) if self.cache.path else self.run / "cache"


class Config(CacheConfig):
    """Everything about one run, from samples to report."""

    train: TrainSpec
    students: tuple[StudentSpec, ...] = Field(min_length=1)
    evaluate: EvaluateSpec
    architecture: ArchitectureSpec | None = Field(
        None, description="for `student search`: shapes of a student that are tried"
    )
    _written: "Config | None" = PrivateAttr(None)  # as the file has it, where a study has chosen some of the students

    @field_validator("students", mode="after")
    @classmethod
    def _sweeps_are_students(cls, students: tuple[StudentSpec, ...]) -> tuple[StudentSpec, ...]:
        return expand_sweeps(students)

    @model_validator(mode="after")
    def _names_differ(self) -> "Config":
        names = [student.name for student in self.students]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"students: two students are named {twice[0]}; give each a name of its own")
        return self

    @model_validator(mode="after")
    def _rungs_are_students(self) -> "Config":
        rungs = self.evaluate.ladder if isinstance(self.evaluate.ladder, tuple) else ()
        known = [student.name for student in self.students]
        missing = next((rung for rung in rungs if rung not in known), None)
        if missing is not None:
            raise ValueError(f"evaluate.ladder: no student is named {missing!r}; there are {', '.join(known)}")
        return self

    @property
    def studies(self) -> tuple[StudentSpec, ...]:
        """The students whose sweep Optuna leads, as the file has them; their trials so far are among the students."""
        written = () if self._written is None else self._written.students
        return tuple(one for one in written if one.sweep is not None)

    @property
    def held_out_path(self) -> Address:
        """The cache of the held-out samples, or of the main set of them, beside the other."""
        return self.set_path(next(iter(self.evaluate.named_sets)))

    def set_path(self, name: str) -> Address:
        """The cache of a held-out set or of a set of prompts."""
        return sibling(self.cache_path, f"-{name}")


def load_config(path: Path) -> Config:
    """Read and check a configuration. Raises ConfigError with one line per thing that is wrong, and where a file stands
    in the way of a folder that is written."""
    return _spelt_out(_validated(path, Config, _content(path)))


def load_cache_config(path: Path) -> CacheConfig:
    """The same for phase one alone: a file that names neither students nor training nor evaluation is a whole one."""
    content = _content(path)
    phase_two = {"train", "students", "evaluate"} & set(content)
    return _spelt_out(_validated(path, Config if phase_two else CacheConfig, content))


def read_again(config: Config) -> Config:
    """The same configuration with what its studies have chosen by now."""
    return config if config._written is None else _spelt_out(config._written)


def _spelt_out(config: _C) -> _C:
    from .reading.layer_terms import without_layers
    from .reading.signal_globs import without_globs
    from .students.generations import with_folders
    from .teachers.teacher_names import with_points

    if isinstance(config, Config) and any(one.sweep is not None for one in config.students):
        from .students.studies import with_studies  # loads torch, which most files need not wait for

        config = with_studies(config)
    return without_layers(with_points(without_globs(with_folders(config))))


def _content(path: Path) -> dict[str, Any]:
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; `teachercache init` writes one to start from") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no settings; `teachercache init` writes a file to start from")
    return content


def _validated(path: Path, kind: type[_C], content: dict[str, Any]) -> _C:
    try:
        config = kind.model_validate(content)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{path}: {line}" for line in _lines(error))) from error
    check_run_folders(path, {"output": config.run, "cache.path" if config.cache.path else "output": config.cache_path})
    return config


def _lines(error: ValidationError) -> Iterable[str]:
    items = error.errors(include_url=False)
    for item in items:
        if item["type"] == "too_short" and any(_below(other["loc"], item["loc"]) for other in items):
            continue  # its items are wrong, which has been said
        where = ".".join(str(part) for part in item["loc"] if not _is_branch(str(part)))
        if item["type"] == "extra_forbidden":
            yield f"{where}: unknown key{_nearest(item['loc'])}"
        elif item["type"] == "missing":
            yield f"{where}: this is required and missing"
        else:
            yield wrong_value(where, item)


def _below(location: tuple[Any, ...], above: tuple[Any, ...]) -> bool:
    return len(location) > len(above) and location[: len(above)] == above


def _is_branch(part: str) -> bool:
    """Whether a part of a location is pydantic's name for a branch of a union, which nobody has written in the YAML."""
    operations = "crop|flip|jitter|randaugment|erasing|caption|mixup|cutmix|token_dropout"
    metrics = "classification|regression|auc|retrieval|zero-shot|all-right"
    branches = rf"(str|int|float|bool|tuple\[.*|function-.*|{operations}|{metrics})"
    return bool(re.fullmatch(branches, part))


def _nearest(location: tuple[Any, ...]) -> str:
    """Say which valid key is nearest to an unknown one."""
    known = _known_keys(location[:-1])
    near = difflib.get_close_matches(str(location[-1]), known, 1, 0.5)
    return f"; did you mean {near[0]}?" if near else f"; the keys here are {', '.join(known)}" if known else ""


def _known_keys(location: Iterable[Any]) -> list[str]:
    """Names of the fields of the model at a location of the configuration."""
    schema = Config.model_json_schema()
    here: Any = schema
    for part in location:
        here = _step(schema, here, part)
    return sorted(_resolve(schema, here, None).get("properties", {}))


def _step(schema: Mapping[str, Any], here: Any, part: Any) -> Any:
    here = _resolve(schema, here, part)
    if isinstance(part, int):
        return here.get("items", {})
    if part in here.get("properties", {}):
        return here["properties"][part]
    additional = here.get("additionalProperties", {})
    return additional if isinstance(additional, dict) and additional else here


def _resolve(schema: Mapping[str, Any], here: Any, part: Any) -> dict[str, Any]:
    """Follow a $ref, and of a union take the branch with properties (or the one that `part` names)."""
    if "oneOf" in here and "discriminator" in here and part in here["discriminator"]["mapping"]:
        here = {"$ref": here["discriminator"]["mapping"][part]}
    for branch in here.get("anyOf", ()):
        if "$ref" in branch:
            here = branch
    while "$ref" in here:
        here = schema["$defs"][here["$ref"].rsplit("/", 1)[-1]]
    return dict(here)
