"""Class names held against each other: that class 3 of one side is class 3 of the other.

It refuses orders that differ as far as names can tell. Names are compared without case and spaces; a side without names
(none, numbers, LABEL_0) says nothing, and names that the other side does not know say nothing either.
"""

import re
from collections.abc import Mapping, Sequence

from ..cache.spec import SignalSpec
from .errors import StageError

_UNNAMED = re.compile(r"(label_?)?\d+")
_SHOWN = 100  # names in a message


def check_sources(train: Sequence[str], held_out: Sequence[str]) -> None:
    """Raise StageError when `source` and `evaluate.source` both name their classes, and not alike."""
    if not train or not held_out or _plain(train) == _plain(held_out):
        return
    number = _first_difference(_plain(train), _plain(held_out))
    raise StageError(
        f"evaluate.source.classes: class {number} is {_name(train, number)} in source and {_name(held_out, number)} in "
        f"evaluate.source. Both must number their classes alike: set evaluate.source.classes: {_listed(train)}"
    )


def check_kept(source: Sequence[str], kept: Sequence[str], field: str = "source") -> None:
    """Raise StageError when the classes of a cache are those of its source in another order."""
    _check_order(source, kept, "the cache", field)


def check_teacher(source: Sequence[str], teacher: Sequence[str], signals: Mapping[str, SignalSpec]) -> None:
    """Raise StageError when logits are kept and the source's classes are not the teacher's, in number or order."""
    if not source or not teacher or not any((spec.point or name) == "logits" for name, spec in signals.items()):
        return
    _check_order(source, teacher, "the teacher", "source")
    if len(source) != len(teacher):
        raise StageError(
            f"source.classes: the source names {len(source)} classes and the teacher has {len(teacher)} logits, so "
            f"labels and logits do not count the same classes; set source.classes to the {len(teacher)} classes in the "
            "teacher's order, or take a teacher of these classes"
        )


def _check_order(source: Sequence[str], other: Sequence[str], whose: str, field: str) -> None:
    """The first class whose name stands at another number on the other side is an error."""
    ours, theirs = _plain(source), _plain(other)
    if not _named(ours) or not _named(theirs):
        return
    known = set(theirs)
    moved = [i for i, name in enumerate(ours) if name in known and (i >= len(theirs) or theirs[i] != name)]
    if not moved:
        return
    spelt = dict(zip(ours, source, strict=True))
    order = [spelt.get(name, given) for name, given in zip(theirs, other, strict=True)]
    raise StageError(
        f"{field}.classes: class {moved[0]} is {_name(source, moved[0])} in the source and {_name(other, moved[0])} "
        f"for {whose}, so labels and logits do not count the same classes. Of a folder whose sub-folders have these "
        f"names, set {field}.classes: {_listed(order)}, "
        f"{whose}'s order; the numbers in tar shards must be in that order too"
    )


def _plain(names: Sequence[str]) -> list[str]:
    return ["".join(name.split()).casefold() for name in names]


def _named(names: Sequence[str]) -> bool:
    return not all(_UNNAMED.fullmatch(name) for name in names)


def _first_difference(ours: Sequence[str], theirs: Sequence[str]) -> int:
    same = (number for number, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b)
    return next(same, min(len(ours), len(theirs)))


def _name(names: Sequence[str], number: int) -> str:
    return repr(names[number]) if number < len(names) else "none"


def _listed(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _SHOWN else ""
    return "[" + ", ".join(map(repr, names[:_SHOWN])) + more + "]"
