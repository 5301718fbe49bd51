"""Which field of the source each input of a teacher is, checked before a sample is read."""

from collections.abc import Iterable, Mapping

from ...capture.points import nearest
from ...errors import StageError


def bind_inputs(
    given: Mapping[str, str], takes: Mapping[str, tuple[str, ...]], kinds: Mapping[str, str], family: str
) -> dict[str, str]:
    """{input: field of the source} of a family that `takes` inputs of some kinds, in the family's order.

    `given` is teacher.inputs; without it each input is the one field that fits, and is left out where none does.
    `kinds` are the source's fields, image among them where it has images. Raises StageError for an input that the
    family does not take, a field that the source lacks, or one that does not fit.
    """
    for name in given:
        if name not in takes:
            raise StageError(
                f"teacher.inputs.{name}: a teacher of family {family} takes {_listed(takes)}{nearest(name, takes)}"
            )
    if not given:
        return {name: field for name, fits in takes.items() if (field := _only(name, fits, kinds)) is not None}
    return {name: _checked(name, given[name], fits, kinds) for name, fits in takes.items() if name in given}


def require_inputs(bound: Mapping[str, str], needed: tuple[str, ...], kinds: Mapping[str, str], family: str) -> None:
    """Raise StageError unless at least one of `needed` is bound to a field."""
    if not any(name in bound for name in needed):
        raise StageError(
            f"teacher.inputs: a teacher of family {family} needs {' or '.join(needed)}, and the source has "
            f"{_listed(kinds) or 'no fields'}: add the field to source.fields, or name it in teacher.inputs"
        )


def _checked(name: str, field: str, fits: tuple[str, ...], kinds: Mapping[str, str]) -> str:
    if field not in kinds:
        raise StageError(
            f"teacher.inputs.{name}: the source has no field {field!r}{nearest(field, kinds)}; it has "
            f"{_listed(kinds) or 'none'} (source.fields names what is read beside the image)"
        )
    if kinds[field] not in fits:
        raise StageError(
            f"teacher.inputs.{name}: field {field} is of kind {kinds[field]}, and {name} takes {' or '.join(fits)}"
        )
    return field


def _only(name: str, fits: tuple[str, ...], kinds: Mapping[str, str]) -> str | None:
    found = [field for field, kind in kinds.items() if kind in fits]
    if len(found) > 1:
        raise StageError(f"teacher.inputs.{name}: {_listed(found)} of the source would do; name one of them")
    return found[0] if found else None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
