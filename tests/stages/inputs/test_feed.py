"""What students see of rows: gathered from what was made once a shard, and equal to each row made by itself."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from teachercache.data import DataError, decode_field
from teachercache.data.views.captions import drawn_captions, pick_caption
from teachercache.stages.errors import StageError
from teachercache.stages.student.inputs import kept
from teachercache.stages.student.inputs.feed import Feed
from teachercache.stages.student.inputs.kept import Kept
from teachercache.stages.student.spec import InputSource
from teachercache.stages.student.stream.join import Join


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


CPU = torch.device("cpu")


def takes_all(words: Path) -> dict[str, InputSource]:
    return {
        "pixel_values": InputSource.model_validate({"image": {"size": 8}}),
        "input_ids": InputSource(text="caption", tokenizer=str(words), max_tokens=10),
        "volume": InputSource(array="volume"),
        "steps": InputSource(array="sequence", max_tokens=6),
        "ids": InputSource(array="parts.ids"),
        "on": InputSource(array="parts.on"),
    }


def feed_of(join: Join, takes: dict[str, InputSource]) -> Feed:
    return Feed(join, {source: f"students.it.inputs.{name}" for name, source in takes.items()})


def one_by_one(join: Join, words: Path, rows: list[int]) -> dict[str, list[np.ndarray]]:
    """Texts and arrays of each row, made for that row alone."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(words)
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("input_ids", "volume", "steps", "ids", "on")}
    for row in rows:
        ((name, local, _),) = join.by_shard(np.array([row]))
        opened = join.opened(name)
        sample = opened.shard[int(local[0]) // opened.views]
        parameters = join.cache.reader(name).parameters[local]
        drawn = drawn_captions(join._policy, parameters)
        assert drawn is not None
        text = pick_caption(decode_field(sample, "caption", "json"), drawn[0].tolist())
        found["input_ids"].append(np.array(tokenizer(text)["input_ids"]))
        found["volume"].append(decode_field(sample, "volume", "array").astype(np.float32))
        found["steps"].append(decode_field(sample, "sequence", "array"))
        found["ids"].append(decode_field(sample, "parts", "array")["ids"].astype(np.int64))
        found["on"].append(decode_field(sample, "parts", "array")["on"])
    return found


def padded(rows: list[np.ndarray]) -> tuple[torch.Tensor, list[int]]:
    lengths = [len(row) for row in rows]
    out = np.zeros((len(rows), max(lengths), *rows[0].shape[1:]), rows[0].dtype)
    for place, row in zip(out, rows, strict=True):
        place[: len(row)] = row
    return torch.from_numpy(out), lengths


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_gathered_inputs_are_those_of_each_row_by_itself(
    joined: Callable[..., Join], words: Path, memo: dict[str, Any], data: st.DataObject
) -> None:
    if not memo:
        memo["join"] = joined()
        memo["feed"] = feed_of(memo["join"], takes_all(words))
    join, feed = memo["join"], memo["feed"]
    rows = data.draw(st.lists(st.integers(0, 29), min_size=1, max_size=40))
    inputs = feed.shared(np.array(rows), CPU).inputs(takes_all(words), len(rows))
    expected = one_by_one(join, words, rows)
    for name in ("volume", "ids", "on"):
        assert torch.equal(inputs[name], torch.from_numpy(np.stack(expected[name]))), name
    for name, beside in (("input_ids", "attention_mask"), ("steps", "steps_lengths")):
        values, lengths = padded(expected[name])
        told = inputs[beside].sum(dim=1) if beside == "attention_mask" else inputs[beside]
        assert torch.equal(inputs[name], values.to(inputs[name].dtype)) and told.tolist() == lengths, name
    mask = inputs["attention_mask"]
    assert torch.equal(mask, (inputs["input_ids"] != 0).to(torch.int64))  # 0 is padding alone, and on the right
    assert inputs["pixel_values"].shape == (len(rows), 3, 8, 8)
    kinds = {name: values.dtype for name, values in inputs.items()}
    assert kinds["volume"] == torch.float32 and kinds["ids"] == torch.int64 and kinds["on"] == torch.bool


@pytest.fixture
def memo() -> dict[str, Any]:
    """What the examples of one test share."""
    return {}


def test_shapes_say_what_is_given(joined: Callable[..., Join], words: Path) -> None:
    takes = takes_all(words)
    feed = feed_of(joined(), takes)
    shapes, inputs = feed.shapes(takes), feed.shared(np.arange(30), CPU).inputs(takes, 30)
    assert set(inputs) == {*shapes, "pixel_values"}
    for name, shape in shapes.items():
        assert inputs[name].dtype == getattr(torch, shape.dtype)
        sides = inputs[name].shape[1:]
        assert len(sides) == len(shape.shape)
        for side, told in zip(sides, shape.shape, strict=True):
            assert side == told or (told is None and side <= (shape.longest or 0))
    assert shapes["input_ids"].vocabulary == 16 and shapes["input_ids"].padding == 0


def test_what_does_not_fit_into_memory_is_mapped_and_equal(
    joined: Callable[..., Join], words: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    join, takes, rows = joined(), takes_all(words), np.arange(30)[::-1].copy()
    expected = feed_of(join, takes).shared(rows, CPU).inputs(takes, 30)
    feed = feed_of(join, takes)
    feed._kept = Kept(memory=100)
    found = feed.shared(rows, CPU).inputs(takes, 30)
    assert any(isinstance(held.values, np.memmap) for held in feed._kept._held.values())
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_shard_is_made_once(joined: Callable[..., Join], words: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    takes = takes_all(words)
    feed, made = feed_of(joined(), takes), []
    get = kept.Kept.get
    monkeypatch.setattr(kept.Kept, "get", lambda self, key, make: get(self, key, lambda: (made.append(key), make())[1]))
    for _ in range(3):
        feed.columns(np.arange(30))
    assert len(made) == len(set(made)) == 3 * 5  # shards x sources


def test_a_feed_travels_to_a_spawned_worker(joined: Callable[..., Join], words: Path) -> None:
    takes, rows = takes_all(words), np.arange(7)
    feed = feed_of(joined(), takes)
    expected = feed.shared(rows, CPU).inputs(takes, 7)
    found = pickle.loads(pickle.dumps(feed)).shared(rows, CPU).inputs(takes, 7)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def wrong(number: int, ext: str, data: bytes) -> Callable[[int, dict[str, bytes]], dict[str, bytes]]:
    return lambda at, sample: {**sample, ext: data} if at == number else sample


@pytest.mark.parametrize(
    ("source", "change", "message"),
    [
        (
            {"text": "caption", "max_tokens": 3},
            None,
            r"sample '0-\d' of shard train-0: its text 'caption' has \d+ tokens",
        ),
        ({"text": "caption"}, None, "max_tokens: the tokenizer does not say how many tokens"),
        ({"text": "caption", "max_tokens": 20}, ("json", b"7"), "sample '0-2' .* neither a text nor a list of texts"),
        ({"text": "captoin", "max_tokens": 20}, None, "the source has no text 'captoin', did you mean 'caption'"),
        ({"text": "volume", "max_tokens": 20}, None, "field volume is of kind array, and text takes text or json"),
        ({"array": "volume"}, ("npy", b"shape"), r"sample '0-2' .* is \(4, 3\), and that of sample '0-0' .* \(2, 3\)"),
        ({"array": "volume"}, ("npy", b"type"), r"sample '0-2' .* is int32, and that of sample '0-0' .* float32"),
        ({"array": "volume"}, ("npy", b"nan"), "sample '0-2' .* no finite float32"),
        ({"array": "sequence"}, None, r"differ in length along their first axis alone, set it.max_tokens"),
        ({"array": "sequence", "max_tokens": 2}, None, r"sample '0-\d' .* has \d places, and 2 are the most"),
        ({"array": "parts"}, None, "sample '0-0' .* holds ids, on: name one of them"),
        ({"array": "parts.off"}, None, "sample '0-0' .* holds ids, on: there is no 'off'"),
        ({"array": "volume.x"}, None, "sample '0-0' .* is one array, and 'x' of it was asked for"),
        ({"array": "caption"}, None, "sample '0-0' .* holds <U"),
    ],
)
def test_what_cannot_be_given_is_one_error_with_the_sample(
    joined: Callable[..., Join], words: Path, source: dict[str, Any], change: tuple[str, bytes] | None, message: str
) -> None:
    broken = {
        b"shape": _npy(np.zeros((4, 3))),
        b"type": _npy(np.zeros((2, 3), np.int32)),
        b"nan": _npy(np.full((2, 3), np.nan)),
    }
    join = joined() if change is None else joined(wrong(2, change[0], broken.get(change[1], change[1])))
    named = {"tokenizer": str(words)} if "text" in source else {}
    with pytest.raises((StageError, DataError), match=message):
        Feed(join, {InputSource.model_validate(source | named): "it"}).columns(np.arange(30))


def test_what_is_too_long_is_cut_where_that_is_asked(joined: Callable[..., Join], words: Path) -> None:
    text = InputSource(text="caption", tokenizer=str(words), max_tokens=3, truncate=True)
    array = InputSource(array="sequence", max_tokens=2, truncate=True)
    columns = Feed(joined(), {text: "it", array: "it"}).columns(np.arange(30))
    assert columns[text].values.shape == (30, 3) and columns[array].values.shape == (30, 2, 2)


def test_a_tokenizer_that_is_not_there_is_refused(joined: Callable[..., Join], tmp_path: Path) -> None:
    source = InputSource(text="caption", tokenizer=str(tmp_path / "none"), max_tokens=4)
    with pytest.raises(StageError, match=r"it\.tokenizer: there is no folder .*none"):
        Feed(joined(), {source: "it"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(StageError, match=r"it\.tokenizer: the tokenizer in .*empty cannot be loaded"):
        Feed(joined(), {source.model_copy(update={"tokenizer": str(tmp_path / "empty")}): "it"})
