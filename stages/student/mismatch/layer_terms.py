"""A term over layers, spelt out: `hidden.*` of the student meets `hidden.*` of the cache layer by layer, one term each.

Which layers the cache holds and how many the student has are known before anything is built; where the settings do not
say how many the student has, pairs must.
"""

from collections.abc import Collection, Mapping
from typing import Any

from ...errors import StageError
from ..spec import StudentSpec, TermSpec
from .layers import layer_map

_COUNTS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers", "layers", "depth")
_TRANSFORMERS = "transformers:"


def expand_layers(student: StudentSpec, signals: Collection[str]) -> StudentSpec:
    """The student with one term for each layer instead of each term that has `layers`; each has the whole weight.

    `signals` are those of the cache. Raises StageError for names without .*, and layers that are not there.
    """
    if all(term.layers is None for term in student.objective):
        return student
    terms: list[TermSpec] = []
    for number, term in enumerate(student.objective):
        place = f"students.{student.name}.objective.{number} ({term.loss})"
        terms += [term] if term.layers is None else _expanded(term, place, student, signals)
    return student.model_copy(update={"objective": tuple(terms)})


def _expanded(term: TermSpec, place: str, student: StudentSpec, signals: Collection[str]) -> list[TermSpec]:
    if not term.output.endswith(".*") or not (term.signal or "").endswith(".*"):
        raise StageError(f"{place}: layers needs an output and a signal that end with .*, such as hidden.*")
    output, signal = term.output.removesuffix("*"), (term.signal or "").removesuffix("*")
    pairs = _pairs(term, place, student, _numbers(signal, signals))
    return [
        term.model_copy(update={"output": f"{output}{own}", "signal": f"{signal}{other}", "layers": None})
        for own, other in pairs
    ]


def _pairs(term: TermSpec, place: str, student: StudentSpec, kept: list[int]) -> list[tuple[int, int]]:
    if isinstance(term.layers, tuple):
        return list(term.layers)
    if not kept:
        raise StageError(f"{place}: the cache has no signal {term.signal}")
    count = _student_layers(student, term.output, place)
    try:
        chosen = layer_map(count, len(kept), "last-k" if term.layers == "last" else "uniform")
    except StageError as error:
        raise StageError(f"{place}: {error} that are kept: {kept}; write layers as pairs") from error
    first = 1 if _kind(term.output) == "hidden" else 0
    return [(first + number, kept[layer - 1]) for number, layer in enumerate(chosen)]


def _numbers(stem: str, signals: Collection[str]) -> list[int]:
    """The layers that are kept, rising; of hidden states without 0, which enters the first layer."""
    numbers = [name.removeprefix(stem) for name in signals if name.startswith(stem)]
    found = sorted(int(number) for number in numbers if number.isdecimal())
    return [number for number in found if number or _kind(f"{stem}*") != "hidden"]


def _kind(name: str) -> str:
    return name.split(".")[-2]


def _student_layers(student: StudentSpec, output: str, place: str) -> int:
    """How many layers the student, or its tower before the output's first dot, has."""
    part = output.split(".")[0] if output.count(".") > 1 else None
    settings: Mapping[str, Any] = student.args
    if part is not None:
        settings = student.args.get(f"{part}_config") or student.args.get(part) or {}
    found = _count(settings)
    if found is None and student.use.startswith(_TRANSFORMERS):
        found = _default(student.use.removeprefix(_TRANSFORMERS), part)
    if found is None:
        raise StageError(
            f"{place}: args do not say how many layers the student has; write pairs, student's layer first: "
            "layers: [[1, 4], [2, 8]]"
        )
    return found


def _count(settings: Mapping[str, Any]) -> int | None:
    for name in _COUNTS:
        value = settings.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, list | tuple):
            return len(value)
    return None


def _default(name: str, part: str | None) -> int | None:
    """What the config class of transformers says where args do not."""
    from ..models.config_class import find_config_class

    config = find_config_class(name)()
    config = config if part is None else getattr(config, f"{part}_config", None)
    return _count({count: getattr(config, count, None) for count in _COUNTS})
