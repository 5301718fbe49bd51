"""Globs in the names of signals: `vision.hidden.*`, `attention.{0,11}`, `attention.*` stand for one signal each.

`*` and `?` match inside one part between two dots, `{a,b}` says alternatives. It refuses a glob that matches nothing.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from ..cache.spec import SignalSpec
from .errors import StageError

_MARKS = re.compile(r"[*?{}]")
_BRACES = re.compile(r"\{([^{}]*)\}")


def is_glob(name: str) -> bool:
    """Whether a signal's name stands for several."""
    return _MARKS.search(name) is not None


def expand_globs(
    signals: Mapping[str, SignalSpec], known: Callable[[], Sequence[str]], whose: str
) -> dict[str, SignalSpec]:
    """Signals with each glob replaced by one signal for every name of `known` that it matches, all kept alike.

    A signal that is named by itself keeps its own settings, and no glob makes it again. `known` is asked only where
    there is a glob with a star; `whose` names they are is said in errors. Raises StageError for a glob that matches
    nothing, one with a point, and a name that two globs match.
    """
    plain = {name for name in signals if not is_glob(name)}
    found: dict[str, SignalSpec] = {}
    for name, spec in signals.items():
        if name in plain:
            found[name] = spec
            continue
        if spec.point is not None:
            raise StageError(
                f"cache.signals.{name}: a glob names its points itself: leave out point, or name one signal"
            )
        for match in _matches(name, known, whose):
            if match in found and match not in plain:
                raise StageError(f"cache.signals.{name}: another glob matches {match} too: let them not overlap")
            if match not in plain:
                found[match] = spec
    return found


def _matches(glob: str, known: Callable[[], Sequence[str]], whose: str) -> list[str]:
    found: list[str] = []
    for pattern in _alternatives(glob):
        if not is_glob(pattern):
            found.append(pattern)
            continue
        names = known()
        parts = re.compile(re.escape(pattern).replace(r"\*", "[^.]*").replace(r"\?", "[^.]"))
        matching = [name for name in names if parts.fullmatch(name)]
        if not matching:
            raise StageError(f"cache.signals.{glob}: no point of {whose} matches {pattern!r}{_near(pattern, names)}")
        found += matching
    return list(dict.fromkeys(found))


def _alternatives(glob: str) -> list[str]:
    """The glob without braces: every choice of their alternatives."""
    match = _BRACES.search(glob)
    if match is None:
        if "{" in glob or "}" in glob:
            raise StageError(f"cache.signals.{glob}: a brace stands alone; alternatives are written {{0,11}}")
        return [glob]
    choices = [choice.strip() for choice in match[1].split(",")]
    return [each for one in choices for each in _alternatives(f"{glob[: match.start()]}{one}{glob[match.end() :]}")]


def _near(pattern: str, names: Iterable[str]) -> str:
    listed = list(names)
    close = difflib.get_close_matches(pattern.replace("*", "0").replace("?", "0"), listed, n=3, cutoff=0.4)
    shown = close or listed[:6]
    return f"; the nearest are {', '.join(shown)}" if shown else "; it has none that are known before it is loaded"
