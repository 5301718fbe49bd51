"""Text models: padding is left out of what is heard, wherever it stands, and what is heard of real tokens is theirs."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from teachercache.cache.codecs import Ragged
from teachercache.stages.capture import describe_points, listen
from teachercache.stages.capture.ragged import ragged
from teachercache.stages.capture.reduction import REDUCTIONS, reduce_heard
from teachercache.stages.errors import StageError

LENGTHS = [7, 3, 5]
TextModel = Callable[..., nn.Module]
Tokens = Callable[..., dict[str, torch.Tensor]]


@pytest.mark.parametrize("kind", ["bert", "clip"])
def test_what_is_heard_of_a_padded_row_is_what_the_row_alone_says(
    text_model: TextModel, tokens: Tokens, kind: str
) -> None:
    model, batch = text_model(kind), tokens()
    alone = text_model(kind, "eager")
    with listen(model, ["hidden.1", "attention.1"]) as heard, torch.no_grad():
        model(**batch)
        values = heard.collect()
        for row, length in enumerate(LENGTHS):
            one = alone(batch["input_ids"][row : row + 1, :length], output_attentions=True, output_hidden_states=True)
            for name, expected in (("hidden.1", one.hidden_states[1]), ("attention.1", one.attentions[1])):
                assert isinstance(values[name], Ragged) and values[name].lengths.tolist() == LENGTHS
                found = values[name].values[row]
                cut = found[:length] if name == "hidden.1" else found[:, :length, :length]
                torch.testing.assert_close(cut, expected[0], atol=2e-5, rtol=1e-4)


def test_left_padding_is_moved_to_the_right(text_model: TextModel, tokens: Tokens) -> None:
    model = text_model("llama")
    batch = tokens("left")
    positions = (batch["attention_mask"].cumsum(1) - 1).clamp_min(0)
    with listen(model, ["hidden.2", "attention.0", "logits"]) as heard, torch.no_grad():
        model(**tokens("right"))
        right = heard.collect()
        ids = torch.ones_like(batch["input_ids"])
        for row, length in enumerate(LENGTHS):
            ids[row, -length:] = tokens("right")["input_ids"][row, :length]
        model(input_ids=ids, attention_mask=batch["attention_mask"], position_ids=positions)
        left = heard.collect()
    for name in right:
        assert left[name].lengths.tolist() == right[name].lengths.tolist() == LENGTHS
        for row, length in enumerate(LENGTHS):
            one, other = (each[name].values[row] for each in (left, right))
            cut = (slice(None), slice(length), slice(length)) if name == "attention.0" else (slice(length),)
            torch.testing.assert_close(one[cut], other[cut], atol=2e-5, rtol=1e-4)


def test_a_mask_given_by_place_is_heard_too_and_no_mask_gives_tensors(text_model: TextModel, tokens: Tokens) -> None:
    model, batch = text_model("bert"), tokens()
    with listen(model, ["hidden.1"]) as heard, torch.no_grad():
        model(batch["input_ids"], batch["attention_mask"])
        assert heard.collect()["hidden.1"].lengths.tolist() == LENGTHS
        model(batch["input_ids"])
        assert isinstance(heard.collect()["hidden.1"], torch.Tensor)


@pytest.mark.parametrize("reduce", ["cls", "mean", "last", "head-mean", "cls-row"])
def test_a_reduction_of_padded_rows_is_that_of_each_row_alone(reduce: str) -> None:
    draw = torch.Generator().manual_seed(0)
    attention = reduce in ("head-mean", "cls-row")
    values = torch.rand(3, 2, 9, 9, generator=draw) if attention else torch.rand(3, 9, 4, generator=draw)
    found = reduce_heard(reduce, Ragged(values, torch.tensor(LENGTHS)))
    for row, length in enumerate(LENGTHS):
        cut = values[row : row + 1, :, :length, :length] if attention else values[row : row + 1, :length]
        expected = REDUCTIONS[reduce](cut)[0]
        if attention:
            assert isinstance(found, Ragged)
            one = found.values[row][..., :length]
            torch.testing.assert_close(one if reduce == "cls-row" else one[:length], expected)
        else:
            assert isinstance(found, torch.Tensor)
            torch.testing.assert_close(found[row], expected)


def test_cls_row_is_what_the_first_token_looks_at() -> None:
    maps = torch.rand(2, 3, 5, 5)
    torch.testing.assert_close(REDUCTIONS["cls-row"](maps), maps[:, :, 0, :])
    with pytest.raises(StageError, match="square maps"):
        REDUCTIONS["cls-row"](torch.rand(2, 3, 5, 6))
    with pytest.raises(StageError, match="takes an attention"):
        REDUCTIONS["cls-row"](torch.rand(2, 3, 5))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([[1, 0, 1], [1, 1, 1]], "row 0 of the batch do not stand side by side"),
        ([[1, 1, 1], [0, 0, 0]], "row 1"),
        ([[[1, 1, 1]]], r"must be \(B, tokens\)"),
        ([[1, 1], [1, 1]], "the model made its inputs longer"),
    ],
)
def test_a_mask_that_does_not_tell_padding_is_an_error(mask: Any, message: str) -> None:
    with pytest.raises(StageError, match=message):
        ragged(torch.zeros(2, 3, 4), torch.tensor(mask))


def test_points_of_a_text_model_are_described(text_model: TextModel, tokens: Tokens) -> None:
    points = describe_points(text_model("clip"), tokens())
    assert points["hidden.0"] == (9, 32) and points["attention.1"] == (4, 9, 9) and points["qkv.1"] == (3, 4, 9, 8)
    grouped = describe_points(text_model("llama"), tokens())
    assert "attention.1" in grouped and "qkv.1" not in grouped  # two key heads for four queries do not stack
