"""Another value at a dotted path of settings, such as `optimizer.lr`, `objective.0.weight` or `args.widths`.

A path that leads nowhere is refused, with the nearest one that does; whether the value is right is for the settings to
say, which are checked whole afterwards.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel


def check_path(settings: BaseModel, path: str) -> None:
    """Raise ValueError for a path that no setting has."""
    here: Any = settings
    words = path.split(".")
    for depth, word in enumerate(words):
        there = ".".join(words[:depth])
        known = _known(here, there)
        if known is None:  # a mapping of anything, such as args
            return
        if word not in known:
            near = get_close_matches(word, known, 1, 0.5)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}" if known else ""
            raise ValueError(f"{path}: {there or 'a student'} has no {word!r}{hint}")
        here = _below(here, word)


def with_value(settings: Any, path: str, value: Any) -> None:
    """Set it in what `model_dump` gave as JSON, in place; sections that were left out are begun."""
    *words, last = path.split(".")
    here = settings
    for word in words:
        here = here[int(word)] if isinstance(here, list) else here.setdefault(word, {})
    if isinstance(here, list):
        here[int(last)] = value
    else:
        here[last] = value


def _known(here: Any, there: str) -> list[str] | None:
    """The words that may follow; None for any."""
    if isinstance(here, BaseModel):
        return sorted(type(here).model_fields)
    if isinstance(here, tuple | list):
        return [str(number) for number in range(len(here))]
    if isinstance(here, Mapping):
        models = all(isinstance(value, BaseModel) for value in here.values())
        return sorted(here) if here and models else None
    raise ValueError(f"{there} is {'not set' if here is None else 'one value'} here, and has nothing below it")


def _below(here: Any, word: str) -> Any:
    if isinstance(here, BaseModel):
        return getattr(here, word)
    return here[int(word)] if isinstance(here, tuple | list) else here[word]
