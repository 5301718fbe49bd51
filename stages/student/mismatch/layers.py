"""Which layer of the teacher each layer of the student learns from."""

from collections.abc import Sequence

from ...errors import StageError


def layer_map(student: int, teacher: int, how: str | Sequence[int]) -> tuple[int, ...]:
    """The teacher's layer for each of the student's, both counted from 1 as `hidden.N` counts them; (student,) long.

    Layer n has hidden state `hidden.n` and attention `attention.(n - 1)`. `uniform`: round(m N / M) for the m-th of M
    layers, halves up, which ends at N. `last-k`: the last M of the teacher's. A list names them one by one and must
    rise. StageError where the student is deeper than its teacher, and for a list that does not fit.
    """
    if not 0 < student <= teacher:
        raise StageError(f"layer map: a student of {student} layers cannot learn layer by layer from {teacher}")
    if how == "uniform":
        return tuple((2 * m * teacher + student) // (2 * student) for m in range(1, student + 1))
    if how == "last-k":
        return tuple(range(teacher - student + 1, teacher + 1))
    if isinstance(how, str):
        raise StageError(f"layer map: there is no {how!r}; use uniform, last-k, or a list of layers")
    return _listed(student, teacher, how)


def _listed(student: int, teacher: int, layers: Sequence[int]) -> tuple[int, ...]:
    if len(layers) != student:
        raise StageError(f"layer map: the list {list(layers)} has {len(layers)} layers, the student has {student}")
    wrong = [n for n in layers if not 1 <= n <= teacher]
    if wrong:
        raise StageError(f"layer map: the teacher has layers 1 to {teacher}, and the list names {wrong}")
    if any(after <= before for before, after in zip(layers, layers[1:], strict=False)):
        raise StageError(f"layer map: the list {list(layers)} must rise")
    return tuple(layers)
