"""What a cache lacks is found exactly once, and however a grid is cut into members, its rows are those of one cache."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from grid_members import SCHEMAS, Whole, make_whole, write_part
from hypothesis import given, settings
from hypothesis import strategies as st

from teachercache.cache import Rectangle, open_cache
from teachercache.cache.grid.missing import missing_rectangles

SHARDS, SIGNALS = ("s0", "s1", "s2", "s3"), ("a", "b", "c")


def cells(rectangle: Rectangle) -> list[tuple[str, int, str]]:
    views = range(rectangle.first, rectangle.end)
    return [(shard, view, name) for shard in rectangle.shards for view in views for name in rectangle.signals]


def rectangles(most_views: int = 6) -> st.SearchStrategy[Rectangle]:
    def some(names: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
        return st.sets(st.sampled_from(names), min_size=1).map(lambda found: tuple(n for n in names if n in found))

    views = st.tuples(st.integers(0, most_views - 1), st.integers(1, most_views))
    return st.builds(lambda s, v, n: Rectangle(s, v[0], v[1], n), some(SHARDS), views, some(SIGNALS))


@given(st.lists(rectangles(), max_size=5), rectangles())
def test_missing_rectangles_are_disjoint_and_cover_exactly_what_is_missing(
    held: list[Rectangle], asked: Rectangle
) -> None:
    there = {cell for rectangle in held for cell in cells(rectangle)}
    found = [cell for part in missing_rectangles(held, asked) for cell in cells(part)]
    assert len(found) == len(set(found))
    assert set(found) == set(cells(asked)) - there


@given(st.lists(rectangles(), max_size=5), rectangles())
def test_no_row_goes_through_the_teacher_twice(held: list[Rectangle], asked: Rectangle) -> None:
    parts = missing_rectangles(held, asked)
    rows = [(shard, view) for part in parts for shard in part.shards for view in range(part.first, part.end)]
    assert len(rows) == len(set(rows))
    assert all(list(part.shards) == [shard for shard in asked.shards if shard in part.shards] for part in parts)


def test_what_lacks_the_same_is_one_rectangle() -> None:
    base = Rectangle(("s0", "s1"), 0, 2, ("a", "b"))
    assert missing_rectangles([base], Rectangle(("s0", "s1"), 0, 2, ("a", "b"))) == []
    assert missing_rectangles([base], Rectangle(("s0", "s1", "s2"), 0, 3, ("a", "c"))) == [
        Rectangle(("s0", "s1"), 0, 2, ("c",)),
        Rectangle(("s0", "s1"), 2, 1, ("a", "c")),
        Rectangle(("s2",), 0, 3, ("a", "c")),
    ]


@st.composite
def cut_grids(draw: st.DrawFn) -> tuple[Whole, list[Rectangle]]:
    """A grid, and members that together hold it: the base, what it lacks of a middle part, and what still lacks."""
    counts = draw(st.lists(st.integers(0, 4), min_size=1, max_size=3))
    views = draw(st.integers(1, 4))
    whole = make_whole(counts, views, draw(st.permutations(sorted(SCHEMAS)))[: draw(st.integers(1, 3))])
    full = whole.rectangle
    first = draw(st.integers(1, len(counts)))
    base = Rectangle(full.shards[:first], 0, draw(st.integers(1, views)), full.signals[: draw(st.integers(1, 3))])
    middle = Rectangle(
        full.shards[: draw(st.integers(first, len(counts)))], 0, draw(st.integers(base.count, views)), base.signals
    )
    members = [base, *missing_rectangles([base], middle)]
    rest = missing_rectangles(members, full)
    return whole, members + draw(st.permutations(rest))


@settings(max_examples=25)
@given(cut_grids(), st.randoms(use_true_random=False))
def test_a_grid_cut_into_members_reads_like_one_cache(cut: tuple[Whole, list[Rectangle]], random: object) -> None:
    whole, members = cut
    with tempfile.TemporaryDirectory() as folder:
        for number, part in enumerate(members):
            write_part(Path(folder) / "joined", whole, part, f"{number:03d}-x" if number else "")
        at_once = write_part(Path(folder) / "whole", whole, whole.rectangle)
        at_once, joined = open_cache(at_once.url), open_cache(Path(folder) / "joined")
        # new shards stand behind the base's, in the order of their extensions
        assert set(joined.shards) == set(whole.samples) and joined.missing() == ()
        rows = np.concatenate([row_numbers(at_once, shard) for shard in joined.shards])
        assert joined.rows == at_once.rows and joined.manifest.views == whole.views
        picked = np.random.default_rng(random.randint(0, 99)).permutation(len(rows))  # type: ignore[attr-defined]
        for signal in whole.values:
            there, here = at_once.encoded(signal, rows[picked]), joined.encoded(signal, picked)
            assert {name: x.tobytes() for name, x in there.items()} == {name: x.tobytes() for name, x in here.items()}
        one, other = at_once.read(rows[picked]), joined.read(picked)
        for field in ("ids", "views", "labels"):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
        for shard in joined.shards:
            np.testing.assert_array_equal(joined.reader(shard).parameters, whole.parameters(shard).reshape(-1, 2))
            starts = np.array([row_numbers(joined, shard)[0]]) if len(joined.reader(shard)) else np.zeros(0, np.int64)
            joined.prefetch(tuple(whole.values), starts, starts + len(joined.reader(shard)))


def row_numbers(cache: object, shard: str) -> np.ndarray:
    """Rows of the whole cache that are a shard's."""
    number = cache.shards.index(shard)  # type: ignore[attr-defined]
    ends = np.concatenate([[0], np.cumsum(cache.row_counts)])  # type: ignore[attr-defined]
    return np.arange(ends[number], ends[number + 1])


@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 4))
def test_runs_cover_the_rows_that_are_asked_for(start: int, count: int, cut: int) -> None:
    """Of the slabs' rows, those that hold rows start..stop are in the runs, and no row of another sample."""
    from teachercache.cache.grid.layout import SignalPlaces

    views, samples, stop = 5, 5, min(25, start + count)
    bands = np.array([0] * cut + [1] * (views - cut))
    places = SignalPlaces([], np.array([[0, 1]]), bands, np.array([0, cut]), np.array([cut, views - cut]))
    rows = np.arange(start, stop)
    slab, row = places.find(np.zeros(len(rows), np.int64), rows)
    found = places.runs(*(np.array([x]) for x in (0, start, stop))) if stop > start else (np.zeros(0, np.int64),) * 3
    covered = {(s, r) for s, low, high in zip(*(x.tolist() for x in found), strict=True) for r in range(low, high)}
    assert covered >= set(zip(slab.tolist(), row.tolist(), strict=True))
    widths = (cut, views - cut)
    assert {r // widths[s] for s, r in covered} <= {r // views for r in range(start, stop)} and samples == 5


@pytest.mark.parametrize("view", [0, 1, 2])
def test_take_finds_samples_in_every_member(tmp_path: Path, view: int) -> None:
    whole = make_whole([2, 3], 3, ["logits"])
    write_part(tmp_path, whole, Rectangle(("s0",), 0, 2, ("logits",)))
    for number, part in enumerate(missing_rectangles([Rectangle(("s0",), 0, 2, ("logits",))], whole.rectangle), 1):
        write_part(tmp_path, whole, part, f"{number:03d}-x")
    batch = open_cache(tmp_path).take(["s1/2", "s0/1"], view=view)
    expected = [whole.values["logits"]["s1"][2, view], whole.values["logits"]["s0"][1, view]]
    np.testing.assert_allclose(batch.signals["logits"], expected, rtol=1e-3)
    assert batch.views.tolist() == [view, view] and batch.ids.tolist() == ["s1/2", "s0/1"]
