"""docs/configuration.md against the settings themselves: every section, every field, with its type and its default.

The meaning of a field is written by hand. `python tests/docs/test_configuration.py` prints what the tables begin with.
"""

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from teachercache.pipeline.config import Config

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"
PLAIN = {str: "text", int: "integer", float: "number", bool: "true or false", Any: "anything"}
SIGNS = ((Gt, "gt", ">"), (Ge, "ge", "≥"), (Lt, "lt", "<"), (Le, "le", "≤"))

Row = tuple[str, str, str]  # field, type, default


def models(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """(dotted path, model) of a model and of all below it, each model once, where it is met first."""
    seen: set[type[BaseModel]] = set()

    def walk(model: type[BaseModel], path: str) -> Iterator[tuple[str, type[BaseModel]]]:
        if model not in seen:
            seen.add(model)
            yield path, model
            for name, field in model.model_fields.items():
                for suffix, part in parts(field.annotation):
                    yield from walk(part, f"{path}.{name}{suffix}".lstrip("."))

    return walk(model, path)


def parts(annotation: Any, suffix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """The models inside an annotation: `[]` stands for an item of a list, `.<name>` for a value of a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield (f"{suffix} {branch(annotation)}" if branch(annotation) else suffix), annotation
        return
    more = {tuple: "[]", dict: ".<name>"}.get(get_origin(annotation), "")
    for argument in get_args(annotation):
        yield from parts(argument, suffix + more)


def branch(model: type[BaseModel]) -> str | None:
    """What a model of a union is called in the YAML: the (first) value of its `op`, `metric` or `shape`."""
    field = next((model.model_fields[name] for name in ("op", "metric", "shape") if name in model.model_fields), None)
    return get_args(field.annotation)[0] if field else None


def kind(annotation: Any, limits: str = "") -> str:
    """A type in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind(arguments[0], bounds(arguments[1:])) if get_origin(arguments[0]) is None else kind(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        if all(isinstance(part, type) and issubclass(part, BaseModel) for part in arguments):
            return " or ".join(branch(part) or "section" for part in arguments)
        words = [kind(part, limits) for part in arguments if part is not type(None)]
        return " or ".join([*words, *(["null"] if type(None) in arguments else [])])
    if origin is tuple:
        inner = kind(arguments[0])
        return f"list of {inner}" if arguments[-1] is Ellipsis else f"{len(arguments)} of {inner}"
    if origin is dict:
        return f"mapping of {kind(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return f"{PLAIN[annotation]} {limits}".strip()


def bounds(metadata: Any) -> str:
    """The limits of a number, such as `> 0`, of what pydantic keeps about them."""
    flat = [inner for item in metadata for inner in (item.metadata if isinstance(item, FieldInfo) else [item])]
    found = [(sign, getattr(item, name)) for item in flat for sort, name, sign in SIGNS if isinstance(item, sort)]
    return ", ".join(f"{sign} {'2^64' if value == 2**64 else value}" for sign, value in found)


def default(field: FieldInfo) -> str:
    """A default as it would stand in the YAML."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "its defaults" if isinstance(value, BaseModel) else f"`{yaml_word(value)}`"


def yaml_word(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple):
        return f"[{', '.join(map(yaml_word, value))}]"
    if isinstance(value, float):
        return f"{value:.4g}" if value % 1 else f"{value:.1f}"
    return "{}" if value == {} else str(value)


def rows(model: type[BaseModel]) -> list[Row]:
    """What the table of a model must say."""
    return [
        (f"`{name}`", kind(field.annotation, bounds(field.metadata)), default(field))
        for name, field in model.model_fields.items()
    ]


def written() -> dict[str, list[tuple[str, ...]]]:
    """The tables of fields in the document by the path in their section's heading."""
    found: dict[str, list[tuple[str, ...]]] = {}
    path, inside = "", False
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            path = line.split("`")[1] if "`" in line else ""
        inside = line.startswith("|") and (inside or line == "| field | type | default | meaning |")
        if inside and line.startswith("| `"):
            found.setdefault(path, []).append(tuple(cell.strip() for cell in line.strip("|").split(" | ")))
    return found


SECTIONS = [(path or "(top)", model) for path, model in models(Config)]


@pytest.mark.parametrize(("path", "model"), SECTIONS, ids=[path for path, _ in SECTIONS])
def test_the_document_has_every_field_with_its_type_and_default(path: str, model: type[BaseModel]) -> None:
    table = written().get(path, [])
    assert [row[:3] for row in table] == rows(model), f"the table under `{path}` of {DOCUMENT.name}"
    assert [row[0] for row in table if len(row) != 4 or not row[3]] == [], "a field without a meaning"


def test_the_document_describes_no_section_that_does_not_exist() -> None:
    assert set(written()) == {path for path, _ in SECTIONS}


if __name__ == "__main__":
    for _path, _model in SECTIONS:
        print(f"\n### `{_path}`\n")
        for _row, _field in zip(rows(_model), _model.model_fields.values(), strict=True):
            print(f"| {' | '.join(_row)} | {_field.description or ''} |")
