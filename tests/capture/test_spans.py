"""Spans: what is cut out of a batch is what a loop over its rows and tokens cuts out."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from teachercache.cache.codecs import Ragged
from teachercache.stages.capture.points import parse_point
from teachercache.stages.capture.spans import expanded_kinds, predicting, span_axes, span_runs, span_values
from teachercache.stages.errors import StageError

TEXT, IMAGE, ACTION = 0, 1, 2
Rows = list[list[int]]


def padded(rows: Rows, extra: int = 0) -> torch.Tensor:
    width = max(map(len, rows)) + extra
    return torch.tensor([[*row, *[-1] * (width - len(row))] for row in rows])


def ids_of(rows: Rows) -> Ragged:
    return Ragged(padded(rows), torch.tensor([len(row) for row in rows]))


@st.composite
def batches(draw: st.DrawFn) -> Rows:
    """Rows with the same image and action tokens, and texts of any length before, between and after them."""
    image, action, texts = draw(st.integers(1, 4)), draw(st.integers(1, 3)), st.integers(0, 4)
    return [
        [TEXT] * draw(texts) + [IMAGE] * image + [TEXT] * draw(texts) + [ACTION] * action + [TEXT] * draw(texts)
        for _ in range(draw(st.integers(1, 4)))
    ]


@settings(deadline=None, max_examples=60)
@given(batches(), st.integers(0, 3))
def test_a_block_is_what_a_loop_finds(rows: Rows, extra: int) -> None:
    kinds = padded(rows, extra)
    tokens = kinds.shape[1]
    maps = torch.arange(1.0, 1 + len(rows) * 2 * tokens * tokens).reshape(len(rows), 2, tokens, tokens)
    for queries, keys in (("text", "image"), ("image", "text"), ("text", "text"), ("action", "image")):
        found = span_values(maps, kinds, {1: queries, 2: keys})  # type: ignore[dict-item]
        values = found.values if isinstance(found, Ragged) else found
        assert isinstance(found, Ragged) == ("text" in (queries, keys))
        for number, row in enumerate(rows):
            places = [[i for i, kind in enumerate(row) if kind == number_of(span)] for span in (queries, keys)]
            loop = maps[number][:, places[0]][:, :, places[1]]
            cut = values[number, :, : len(places[0]), : len(places[1])]
            torch.testing.assert_close(cut, loop)
            assert torch.count_nonzero(values[number]) == loop.numel()
            if isinstance(found, Ragged):
                assert found.lengths[number] == row.count(TEXT)


def number_of(span: str) -> int:
    return ("text", "image", "action").index(span)


@settings(deadline=None, max_examples=60)
@given(batches(), st.integers(0, 3))
def test_runs_and_what_comes_next_are_what_a_loop_finds(rows: Rows, extra: int) -> None:
    kinds, runs = padded(rows, extra), span_runs(padded(rows, extra))
    for number, row in enumerate(rows):
        edges = [0, *(np.flatnonzero(np.diff(row)) + 1).tolist(), len(row)]
        loop = [[row[a], a, b] for a, b in zip(edges, edges[1:], strict=False)]
        assert runs.lengths[number] == len(loop)
        assert runs.values[number, : len(loop)].tolist() == loop
        assert predicting(kinds)[number].tolist() == [*kinds[number, 1:].tolist(), -1]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=4), st.integers(1, 6))
def test_an_image_id_that_became_many_tokens_is_found(texts: list[tuple[int, int]], patches: int) -> None:
    ids = [[TEXT] * before + [IMAGE] + [TEXT] * after + [ACTION] for before, after in texts]
    grown = [[TEXT] * before + [IMAGE] * patches + [TEXT] * after + [ACTION] for before, after in texts]
    lengths = torch.tensor([len(row) for row in grown])
    assert expanded_kinds(ids_of(ids), lengths, int(lengths.max()) + 1).tolist() == padded(grown, 1).tolist()


def test_rows_that_did_not_grow_stay_as_they_are() -> None:
    rows = [[TEXT, IMAGE, TEXT, IMAGE, IMAGE], [TEXT, IMAGE, TEXT]]
    lengths = torch.tensor([5, 3])
    assert expanded_kinds(ids_of(rows), lengths, 5).tolist() == padded(rows).tolist()


@pytest.mark.parametrize("row", [[TEXT, TEXT], [IMAGE, TEXT, IMAGE]])
def test_rows_that_grew_without_one_image_are_refused(row: list[int]) -> None:
    with pytest.raises(StageError, match=r"row 0 .* where the image lies is not known"):
        expanded_kinds(ids_of([row]), torch.tensor([len(row) + 3]), len(row) + 3)
    with pytest.raises(StageError, match="where the image lies"):
        expanded_kinds(ids_of([row]), torch.tensor([len(row) - 1]), len(row))


def test_rows_with_other_numbers_of_image_tokens_are_refused() -> None:
    kinds = padded([[IMAGE, IMAGE, TEXT], [IMAGE, TEXT, TEXT]])
    with pytest.raises(StageError, match="rows have 1 to 2 image tokens"):
        span_values(torch.zeros(2, 3, 4), kinds, {0: "image"})
    with pytest.raises(StageError, match="no action tokens"):
        span_values(torch.zeros(2, 3, 4), kinds, {0: "action"})


def test_axes_of_text_are_the_ones_that_are_packed() -> None:
    assert span_axes("hidden", "text", "none") == (0,) and span_axes("hidden", "text", "mean") == ()
    assert span_axes("hidden", "image", "none") == () and span_axes("logits", "text", "none") == (0,)
    blocks = {"text-image": (1,), "image-text": (2,), "text-text": (1, 2), "image-image": ()}
    assert {span: span_axes("attention", span, "none") for span in blocks} == blocks
    assert span_axes("attention", "image-text", "head-mean") == (1,)


@pytest.mark.parametrize("name", ["hidden.1.text-image", "attention.-1.text", "logits.image", "attention.1.text-sound"])
def test_a_span_where_none_can_be_is_no_point(name: str) -> None:
    with pytest.raises(StageError, match="there is no capture point"):
        parse_point(name)
