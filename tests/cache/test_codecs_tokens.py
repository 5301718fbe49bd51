"""Logits of each token: within the bounds of their codec, as few bytes as promised, and met by losses without a
vocabulary's width."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from teachercache.cache import (
    HeadLogits,
    Manifest,
    RowIndex,
    SampledTargets,
    SignalSchema,
    SparseLogits,
    TokenLogits,
    create_cache,
    open_cache,
)
from teachercache.cache.codecs import Packing, Ragged
from teachercache.cache.keeping.verify import verify_cache
from teachercache.cache.rewriting.recode import NewCodec, recode_plan
from teachercache.cache.rewriting.rewrite import rewrite

CLASSES, WIDTH = 9, 5
SPARSE: dict[str, dict[str, Any]] = {
    "topk": {"k": 3, "temperatures": [1.0, 2.0], "entropy": True},
    "pps": {"k": 3, "temperatures": [1.0, 2.0]},
    "sampling": {"draws": 6},
}


def head(seed: int, rows: int, tokens: int) -> tuple[HeadLogits, np.ndarray]:
    """A head, what enters it of rows of 0 to `tokens` tokens with noise in the padding, and which tokens are real."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, tokens + 1, rows)
    hidden = rng.normal(0, 3, (rows, tokens, WIDTH)).astype(np.float32)
    weight, bias = rng.normal(0, 1, (CLASSES, WIDTH)), rng.normal(0, 1, CLASSES)
    values = HeadLogits(Ragged(hidden, lengths), weight.astype(np.float32), bias.astype(np.float32))
    return values, np.arange(tokens) < lengths[:, None]


def head_schema(values: HeadLogits, tokens: int, keep: str) -> Any:
    names = {"weight": "w", "bias": "b"}
    parameters = {"keep": keep, "classes": CLASSES}
    schema = SignalSchema("x", "head", parameters, (tokens, WIDTH), packing=Packing((0,)), constants=names)
    return schema, schema.build({"w": values.weight, "b": values.bias})


@pytest.mark.parametrize("keep", ["f16", "int8"])
@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), rows=st.integers(0, 5), tokens=st.integers(1, 4))
def test_the_logits_of_every_token_are_within_the_bound_of_what_enters_the_head(
    keep: str, seed: int, rows: int, tokens: int
) -> None:
    values, real = head(seed, rows, tokens)
    schema, codec = head_schema(values, tokens, keep)
    parts = codec.encode(values)
    assert len(parts["values"]) == real.sum() and schema.target_shape == (tokens, CLASSES)
    decoded = codec.decode(parts, (tokens, WIDTH)).logits()
    exact, hidden = values.logits().values, np.abs(values.hidden.values)
    step = hidden * 2.0**-11 + 2.0**-24 if keep == "f16" else np.repeat(hidden.max(-1, keepdims=True) / 254, WIDTH, -1)
    bound = step @ np.abs(values.weight).T + 1e-4
    assert (np.abs(decoded.values - exact) <= bound)[real].all()
    assert not decoded.values[~real].any() and decoded.lengths.tolist() == values.hidden.lengths.tolist()
    if real.any():
        figures = codec.error(values, codec.decode(parts, (tokens, WIDTH)))
        assert figures["max_abs"] == pytest.approx(np.abs(decoded.values - exact)[real].max(), abs=1e-5)


def test_a_head_of_tokens_is_kept_alike_by_torch_and_numpy_and_takes_no_bytes_of_the_vocabulary() -> None:
    values, _ = head(1, 6, 4)
    schema, codec = head_schema(values, 4, "int8")
    assert schema.row_bytes() == 4 + 4 * (WIDTH + 4)
    tensors = HeadLogits(
        Ragged(torch.from_numpy(values.hidden.values), torch.from_numpy(values.hidden.lengths)),
        torch.from_numpy(values.weight),
        torch.from_numpy(values.bias),
    )
    ours, theirs = codec.encode(values), codec.encode(tensors)
    for name, part in ours.items():
        np.testing.assert_array_equal(part, theirs[name].numpy())
    there = codec.decode(theirs, (4, WIDTH)).logits()
    np.testing.assert_allclose(there.values.numpy(), codec.decode(ours, (4, WIDTH)).logits().values, atol=1e-5)


@pytest.mark.parametrize("codec", SPARSE)
@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 5), tokens=st.integers(1, 4), wanted=st.integers(1, 6))
def test_padded_targets_are_those_of_each_token_and_no_wider_than_what_is_kept(
    codec: str, seed: int, rows: int, tokens: int, wanted: int
) -> None:
    rng = np.random.default_rng(seed)
    values, lengths = rng.normal(0, 3, (rows, tokens, CLASSES)).astype(np.float32), rng.integers(0, tokens + 1, rows)
    built = SignalSchema("x", codec, SPARSE[codec], (tokens, CLASSES), packing=Packing((0,))).build()
    sparse = built.decode(built.encode(Ragged(values, lengths)), (tokens, CLASSES))
    assert isinstance(sparse, TokenLogits)
    flat, padded, first = sparse.targets, sparse.padded(wanted), np.cumsum(lengths) - lengths
    assert padded.ids.shape == (rows, wanted, flat.ids.shape[-1])
    for row, token in np.ndindex(rows, min(tokens, wanted)):
        if token >= lengths[row]:
            continue
        place = first[row] + token
        np.testing.assert_array_equal(padded.ids[row, token], flat.ids[place])
        if isinstance(padded, SparseLogits) and isinstance(flat, SparseLogits):
            np.testing.assert_array_equal(padded.values[row, token], flat.values[place])
            assert all(padded.tails[t][row, token] == tail[place] for t, tail in flat.tails.items())
        elif isinstance(padded, SampledTargets) and isinstance(flat, SampledTargets):
            assert all((padded.weights[t][row, token] == one[place]).all() for t, one in flat.weights.items())
            assert padded.entropy[row, token] == flat.entropy[place]


def test_a_cache_of_kept_heads_is_verified_recoded_and_read(tmp_path: Path) -> None:
    values, real = head(2, 6, 4)
    schema, codec = head_schema(values, 4, "f16")
    dense = SignalSchema("fixed", "f32", {}, (4, CLASSES))
    constants = {"w": values.weight, "b": values.bias}
    manifest = Manifest({"signals": {}}, {"x": schema, "fixed": dense}, ("a",), 1, 4)
    cache = create_cache(tmp_path / "cache", manifest, constants)
    exact = values.logits().values
    writer = cache.writer("a")
    writer.append({"x": codec.encode(values), "fixed": {"values": exact}})
    ids = np.array([str(i) for i in range(6)])
    writer.seal(RowIndex(ids, np.zeros(6, np.uint16), np.zeros(6, np.int64), np.zeros((6, 0))))
    cache = open_cache(tmp_path / "cache")
    assert verify_cache(cache) == []
    found = cache.read(np.array([4, 0, 4]), ["x"]).signals["x"].logits()
    np.testing.assert_allclose(found.values[real[[4, 0, 4]]], exact[[4, 0, 4]][real[[4, 0, 4]]], atol=2e-2)
    sparse = {name: NewCodec("topk", {"k": 2, "temperatures": [1.0]}) for name in ("x", "fixed")}
    rewrite(str(tmp_path / "sparse"), recode_plan(cache, sparse))
    read = open_cache(tmp_path / "sparse").read(np.arange(6)).signals
    assert verify_cache(open_cache(tmp_path / "sparse")) == []
    assert read["x"].lengths.tolist() == values.hidden.lengths.tolist() and read["fixed"].lengths.tolist() == [4] * 6
    np.testing.assert_array_equal(read["fixed"].targets.ids[:, 0], exact.reshape(-1, CLASSES).argmax(-1))
    assert read["x"].targets.classes == CLASSES
