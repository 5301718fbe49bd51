"""What of a rectangle no other rectangle holds, as disjoint rectangles: each cell once, so that a teacher that computes
them hears no row twice."""

from collections.abc import Iterator, Sequence

from .rectangle import Rectangle

Key = tuple[int, int, tuple[str, ...]]  # first view, one past the last, signals


def missing_rectangles(held: Sequence[Rectangle], asked: Rectangle) -> list[Rectangle]:
    """Disjoint rectangles that cover exactly the cells of `asked` that none of `held` covers.

    Views are cut where some rectangle begins or ends; a shard's neighbouring views that lack the same signals stay
    together, and shards that lack the same are one rectangle. Shards keep the order of `asked`.
    """
    parts: dict[Key, list[str]] = {}
    for shard, rectangles in _by_shard(held, asked):
        for key in _runs(rectangles, asked):
            parts.setdefault(key, []).append(shard)
    found = [Rectangle(tuple(shards), first, end - first, signals) for (first, end, signals), shards in parts.items()]
    return sorted(found, key=lambda part: (asked.shards.index(part.shards[0]), part.first))


def _by_shard(held: Sequence[Rectangle], asked: Rectangle) -> Iterator[tuple[str, list[Rectangle]]]:
    sets = [(set(rectangle.shards), rectangle) for rectangle in held]
    for shard in asked.shards:
        yield shard, [rectangle for shards, rectangle in sets if shard in shards]


def _runs(held: Sequence[Rectangle], asked: Rectangle) -> list[Key]:
    """Runs of views of one shard that lack the same signals, with those signals."""
    edges = {asked.first, asked.end} | {edge for it in held for edge in (it.first, it.end)}
    cuts = sorted(edge for edge in edges if asked.first <= edge <= asked.end)
    runs: list[Key] = []
    for low, high in zip(cuts[:-1], cuts[1:], strict=True):
        there = {name for it in held if it.first <= low < it.end for name in it.signals}
        lacks = tuple(name for name in asked.signals if name not in there)
        if runs and runs[-1][1:] == (low, lacks):
            runs[-1] = (runs[-1][0], high, lacks)
        else:
            runs.append((low, high, lacks))
    return [run for run in runs if run[2]]
