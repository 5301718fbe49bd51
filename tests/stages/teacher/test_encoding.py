"""Encoding a text model's batches: rows of different lengths to the disk and back, and what is unsound is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from teachercache.cache import Cache, Manifest, RowIndex, create_cache, open_cache
from teachercache.cache.codecs import Packing, QueryKey, Ragged
from teachercache.cache.spec import SignalSpec
from teachercache.stages.capture import listen
from teachercache.stages.capture.reduction import reduce_heard
from teachercache.stages.errors import StageError, StageFailed
from teachercache.stages.teacher.inputs.batch import PreparedBatch
from teachercache.stages.teacher.signals.encoding import check_first, encode_batch, measure_errors
from teachercache.stages.teacher.signals.signal_schema import heard_point, signal_schema

SIGNALS = {
    name: SignalSpec.model_validate(spec)
    for name, spec in {
        "attention.1": {"codec": "u8sqrt", "causal": True},
        "factored": {"point": "attention.1", "codec": "factored"},
        "head-mean": {"point": "attention.1", "codec": "u8sqrt", "reduce": "head-mean", "causal": True},
        "cls-row": {"point": "attention.0", "codec": "u8sqrt", "reduce": "cls-row"},
        "hidden.1": {"codec": "int8"},
        "mean": {"point": "hidden.1", "codec": "f32", "reduce": "mean"},
        "last": {"point": "hidden.1", "codec": "f32", "reduce": "last"},
        "qkv.0": {"codec": "f16"},
    }.items()
}


@pytest.fixture(scope="module")
def text() -> nn.Module:
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    sizes = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, eos_token_id=2)
    return CLIPTextModel(
        CLIPTextConfig(vocab_size=60, max_position_embeddings=12, bos_token_id=1, initializer_factor=8.0, **sizes)
    )


def heard(model: nn.Module, lengths: list[int], seed: int, width: int = 12) -> dict[str, Any]:
    """What the model says of random rows, as signals."""
    ids = torch.randint(3, 60, (len(lengths), width), generator=torch.Generator().manual_seed(seed))
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
    points = {name: heard_point(name, spec) for name, spec in SIGNALS.items()}
    with listen(model.eval(), set(points.values())) as ears, torch.inference_mode():
        model(input_ids=ids, attention_mask=mask)
        values = ears.collect()
    return {
        name: x if isinstance(x := values[point], QueryKey) else reduce_heard(SIGNALS[name].reduce, x)
        for name, point in points.items()
    }


def prepared(rows: int, shard: str = "a", start: int = 0) -> PreparedBatch:
    ids = np.array([f"{shard}{start + i}" for i in range(rows)])
    labels = np.zeros(rows, np.int64)
    return PreparedBatch(shard, start, start + rows, True, ids, labels, np.zeros((rows, 0)), None, {})


def encode(values: dict[str, Any], schemas: dict[str, Any], rows: int) -> dict[str, dict[str, np.ndarray]]:
    cpu = torch.device("cpu")
    return encode_batch(prepared(rows), values, schemas, 0.0, cpu).arrays()


@pytest.fixture
def cache(text: nn.Module, tmp_path: Path) -> Cache:
    """Seven rows in two batches of different lengths, and an empty shard."""
    schemas = {name: signal_schema(name, SIGNALS[name], x) for name, x in heard(text, [12, 3, 5], 0).items()}
    cache = create_cache(tmp_path / "cache", Manifest({"signals": {}}, schemas, ("a", "b"), 1, 4))
    for shard, batches in (("a", ([12, 3, 5], [1, 7, 2, 9])), ("b", ())):
        writer = cache.writer(shard)
        for seed, lengths in enumerate(batches):
            values = heard(text, lengths, seed)
            check_first(prepared(len(lengths)), values, schemas)
            writer.append(encode(values, schemas, len(lengths)))
        if not batches:
            writer.append(encode({}, schemas, 0))
        rows = sum(map(len, batches))
        ids = np.array([f"{shard}{i}" for i in range(rows)], np.str_)
        writer.seal(RowIndex(ids, np.zeros(rows, np.uint16), np.zeros(rows, np.int64), np.zeros((rows, 0))))
    return open_cache(tmp_path / "cache")


def test_what_a_text_model_says_of_real_tokens_comes_back_from_the_disk(text: nn.Module, cache: Cache) -> None:
    first, second = heard(text, [12, 3, 5], 0), heard(text, [1, 7, 2, 9], 1)
    order = np.array([4, 0, 6, 2])
    read, lengths = cache.read(order).signals, np.array([12, 3, 5, 1, 7, 2, 9])[order]
    exact = {name: [*_rows(first[name]), *_rows(second[name])] for name in SIGNALS if name != "factored"}
    exact["factored"] = exact["attention.1"]
    atol = {"hidden.1": 0.5, "qkv.0": 0.05, "mean": 1e-6, "last": 1e-6}
    for name, found in read.items():
        for place, row in enumerate(order):
            values = found.values[place] if isinstance(found, Ragged) else found[place]
            expected = exact[name][row]
            inside = tuple(slice(size) for size in expected.shape)
            np.testing.assert_allclose(values[inside], expected, atol=atol.get(name, 5e-3), err_msg=name)
            if isinstance(found, Ragged):
                outside = values.copy()
                outside[inside] = 0
                assert not outside.any() and found.lengths[place] == lengths[place]
    assert {name for name, found in read.items() if not isinstance(found, Ragged)} == {"mean", "last"}


def _rows(values: Any) -> list[np.ndarray]:
    """Each row cut to its real tokens."""
    if not isinstance(values, Ragged):
        return [row.numpy() for row in values]
    axes = [axis for axis, size in enumerate(values.values.shape[1:]) if size == 12]
    found = []
    for row, length in zip(values.values, values.lengths.tolist(), strict=True):
        cut = [slice(None)] * row.ndim
        for axis in axes:
            cut[axis] = slice(length)
        found.append(row[tuple(cut)].numpy())
    return found


def test_packing_of_each_form_is_told_by_what_was_heard(cache: Cache) -> None:
    packing = {name: schema.packing for name, schema in cache.manifest.signals.items()}
    assert packing == {
        "attention.1": Packing((1, 2), causal=True, implied=True),
        "factored": Packing((1,)),
        "head-mean": Packing((0, 1), causal=True, implied=True),
        "cls-row": Packing((1,)),
        "hidden.1": Packing((0,)),
        "mean": None,
        "last": None,
        "qkv.0": Packing((2,)),
    }
    assert cache.manifest.signals["factored"].parameters["causal"] is True


def test_errors_are_measured_over_real_tokens(text: nn.Module) -> None:
    values = heard(text, [12, 3, 5], 0)
    schemas = {name: signal_schema(name, SIGNALS[name], x) for name, x in values.items()}
    errors = measure_errors(values, schemas)
    assert 0 < errors["attention.1"]["row_l1_mean"] < 0.02 and errors["mean"] == {"max_abs": 0.0}
    loud = {"hidden.1": Ragged(values["hidden.1"].values.clone(), values["hidden.1"].lengths)}
    loud["hidden.1"].values[1, 3:] = 1e6
    assert measure_errors(loud, {"hidden.1": schemas["hidden.1"]})["hidden.1"] == errors["hidden.1"]


def test_padding_may_be_nan_and_a_real_token_may_not(text: nn.Module) -> None:
    values = heard(text, [12, 3, 5], 0)
    schemas = {name: signal_schema(name, SIGNALS[name], x) for name, x in values.items()}
    for name in ("hidden.1", "attention.1", "qkv.0", "cls-row"):
        one = values[name].values.clone()
        axis = schemas[name].packing.axes[0] + 1
        one.select(axis, 11)[1] = torch.nan  # the last place of the row of three tokens
        only = {name: schemas[name]}
        encode({name: Ragged(one, values[name].lengths)}, only, 3)
        one.select(axis, 1)[1] = torch.nan
        with pytest.raises(StageFailed, match="NaN or infinite for sample 'a1'"):
            encode({name: Ragged(one, values[name].lengths)}, only, 3)
    pair = values["factored"]
    query = pair.query.clone()
    query[2, 0, 4, 0] = torch.inf
    with pytest.raises(StageFailed, match="signal factored.*'a2'"):
        encode({"factored": QueryKey(query, pair.key, pair.lengths, True)}, {"factored": schemas["factored"]}, 3)


@pytest.mark.parametrize("place", [(0, 5), (2, 4)], ids=["a later token", "padding"])
def test_probability_that_packing_would_drop_is_an_error(text: nn.Module, place: tuple[int, int]) -> None:
    values = heard(text, [12, 3, 5], 0)["attention.1"]
    schema = signal_schema("attention.1", SIGNALS["attention.1"], values)
    maps = values.values.clone()
    maps[1, 3, place[0], place[1]] = 0.01
    only, wrong = {"attention.1": schema}, {"attention.1": Ragged(maps, values.lengths)}
    with pytest.raises(StageError, match="'a1' .*looks at padding"):
        check_first(prepared(3), wrong, only)
    with pytest.raises(StageFailed, match="'a1' .*looks at padding"):
        encode(wrong, only, 3)


def test_a_map_whose_rows_do_not_sum_to_one_has_no_implied_key(text: nn.Module) -> None:
    values = heard(text, [12, 3, 5], 0)["attention.1"]
    only = {"attention.1": signal_schema("attention.1", SIGNALS["attention.1"], values)}
    maps = values.values.clone()
    maps[2, 0, 4] *= 0.9
    with pytest.raises(StageError, match="'a2' .*sum to 1"):
        check_first(prepared(3), {"attention.1": Ragged(maps, values.lengths)}, only)


def test_a_batch_that_is_unlike_the_first_is_named(text: nn.Module) -> None:
    values = heard(text, [12, 3, 5], 0)
    schemas = {name: signal_schema(name, SIGNALS[name], x) for name, x in values.items()}
    plain = {"hidden.1": values["hidden.1"].values}
    dense = {"hidden.1": signal_schema("hidden.1", SIGNALS["hidden.1"], plain["hidden.1"])}
    with pytest.raises(StageFailed, match="shard a differ in length.*attention_mask"):
        encode({"hidden.1": values["hidden.1"]}, dense, 3)
    short = {name: signal_schema(name, SIGNALS[name], x) for name, x in heard(text, [4, 3], 1, width=4).items()}
    with pytest.raises(StageFailed, match="hidden.1, shard a: a row of 12 tokens"):
        encode({"hidden.1": values["hidden.1"]}, {"hidden.1": short["hidden.1"]}, 3)
    full = encode(plain, {"hidden.1": schemas["hidden.1"]}, 3)  # a batch without padding is rows of full length
    assert full["hidden.1"]["lengths"].tolist() == [12, 12, 12]
