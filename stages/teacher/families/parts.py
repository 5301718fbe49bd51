"""Which part of a model each point is in: a tower, or the model as a whole."""

from collections.abc import Iterable, Mapping

from ...capture.points import Point, nearest, parse_point
from ...errors import StageError


def points_by_part(names: Iterable[str], parts: Mapping[str, str], whole: bool) -> dict[str, dict[str, str]]:
    """{part: {name of the point in the part: its whole name}}; "" is the model as a whole.

    `parts` are {name in points: path in the model}; with `whole` False the model itself is never called, and a point of
    it is refused. Raises StageError for a part that the model lacks.
    """
    found: dict[str, dict[str, str]] = {}
    for name in sorted(names):
        part, local = _place(parse_point(name, paths=True), parts)
        if part not in parts and (part or not whole):
            known = [f"{known}.{form}" for known in parts for form in (name, "hidden.-1", "attention.-1")]
            raise StageError(
                f"there is no capture point {name!r} in this teacher{nearest(name, known)}; its parts are "
                f"{', '.join(parts) or 'none'}, such as {next(iter(parts), 'vision')}.hidden.-1"
            )
        found.setdefault(part, {})[local] = name
    return found


def _place(point: Point, parts: Mapping[str, str]) -> tuple[str, str]:
    if point.kind == "module":
        for part, path in parts.items():
            if point.name.startswith(f"{path}."):
                return part, point.name.removeprefix(f"{path}.")
    return point.part, point.name.removeprefix(f"{point.part}.") if point.part else point.name
