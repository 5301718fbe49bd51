"""Packed signals: real tokens come back, padding takes no bytes, numpy and torch agree, damage is an error."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from teachercache.cache import CacheError, DamagedCacheError, Manifest, RowIndex, SignalSchema, create_cache, open_cache
from teachercache.cache.codecs import Packing, Ragged, TokenLogits
from teachercache.cache.codecs.packing import element_places

# (shape of the longest row of T tokens, packing)
FORMS = {
    "tokens": (lambda t: (t, 6), Packing((0,))),
    "layers": (lambda t: (2, t, 3), Packing((1,))),
    "maps": (lambda t: (2, t, t), Packing((1, 2))),
    "causal": (lambda t: (2, t, t), Packing((1, 2), causal=True)),
    "one causal map": (lambda t: (t, t), Packing((0, 1), causal=True)),
    "implied": (lambda t: (2, t, t), Packing((1, 2), implied=True)),
    "causal and implied": (lambda t: (2, t, t), Packing((1, 2), causal=True, implied=True)),
}


def real_places(form: str, lengths: np.ndarray, tokens: int) -> np.ndarray:
    """Which places of padded rows are kept, one row at a time: (n, *shape) bool."""
    shape, packing = FORMS[form][0](tokens), FORMS[form][1]
    found = np.zeros((len(lengths), *shape), bool)
    for row, length in enumerate(lengths):
        for place in np.ndindex(*shape):
            at = [place[axis] for axis in packing.axes]
            found[(row, *place)] = all(i < length for i in at) and not (packing.causal and at[1] > at[0])
    return found


def drawn(form: str, seed: int, rows: int, tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """Values in [0, 1] that are 0 where nothing is kept, and lengths 0..tokens."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, tokens + 1, rows)
    values = rng.random((rows, *FORMS[form][0](tokens))).astype(np.float32)
    values = values * real_places(form, lengths, tokens)
    if FORMS[form][1].implied:
        values = values / values.sum(-1, keepdims=True).clip(1e-30)
    return values, lengths


def schema(form: str, tokens: int, codec: str = "f32", **changes: Any) -> SignalSchema:
    return SignalSchema("x", codec, {}, FORMS[form][0](tokens), packing=FORMS[form][1], **changes)


@pytest.mark.parametrize("form", FORMS)
@given(seed=st.integers(0, 10**6), rows=st.integers(0, 6), tokens=st.integers(1, 5))
def test_what_is_real_comes_back_and_what_is_not_is_zero(form: str, seed: int, rows: int, tokens: int) -> None:
    values, lengths = drawn(form, seed, rows, tokens)
    codec = schema(form, tokens).build()
    parts = codec.encode(Ragged(values, lengths))
    kept = real_places(form, lengths, tokens).any(axis=_rest(form))
    implied = FORMS[form][1].implied
    assert parts["values"].shape[0] == kept.sum() - (lengths.sum() if implied else 0)
    decoded = codec.decode(parts, FORMS[form][0](tokens))
    np.testing.assert_allclose(decoded.values, values, atol=1e-6 if implied else 0)
    np.testing.assert_array_equal(decoded.lengths, lengths)


def _rest(form: str) -> tuple[int, ...]:
    """Axes of padded rows that count no tokens."""
    shape, packing = FORMS[form][0](2), FORMS[form][1]
    return tuple(1 + axis for axis in range(len(shape)) if axis not in packing.axes)


@pytest.mark.parametrize("form", FORMS)
def test_what_stands_in_the_padding_is_neither_kept_nor_decoded(form: str) -> None:
    values, lengths = drawn(form, 3, 5, 4)
    implied = FORMS[form][1].implied
    loud = np.where(real_places(form, lengths, 4), values, np.float32(9))
    codec = schema(form, 4).build()
    decoded = codec.decode(codec.encode(Ragged(loud, lengths)), FORMS[form][0](4))
    np.testing.assert_allclose(decoded.values, values, atol=1e-6 if implied else 0)


@pytest.mark.parametrize("form", ["tokens", "maps", "causal", "causal and implied"])
@pytest.mark.parametrize("codec", ["f16", "u8sqrt"])
def test_numpy_and_torch_pack_alike(form: str, codec: str) -> None:
    values, lengths = drawn(form, 1, 7, 5)
    built = schema(form, 5, codec).build()
    ours = built.encode(Ragged(values, lengths))
    theirs = built.encode(Ragged(torch.from_numpy(values), torch.from_numpy(lengths)))
    assert list(ours) == list(theirs) == [part.name for part in built.parts(FORMS[form][0](5))]
    for part in built.parts(FORMS[form][0](5)):
        assert ours[part.name].dtype == part.dtype == theirs[part.name].numpy().dtype
        np.testing.assert_array_equal(ours[part.name], theirs[part.name].numpy())
    one, other = (built.decode(parts, FORMS[form][0](5)) for parts in (ours, theirs))
    tensors = Ragged(torch.from_numpy(values), torch.from_numpy(lengths))
    np.testing.assert_allclose(one.values, other.values.numpy(), atol=1e-6)
    assert built.error(Ragged(values, lengths), one) == pytest.approx(built.error(tensors, other))


@pytest.mark.parametrize("codec", ["int8", "u8affine", "bf16"])
def test_tokens_are_kept_by_codecs_with_several_parts(codec: str) -> None:
    values, lengths = drawn("tokens", 5, 6, 4)
    built = schema("tokens", 4, codec).build()
    decoded = built.decode(built.encode(Ragged(values, lengths)), (4, 6))
    np.testing.assert_allclose(decoded.values, values, atol=1 / 120)
    assert np.all(decoded.values[~real_places("tokens", lengths, 4)] == 0)


def test_an_array_is_rows_of_full_length() -> None:
    values = np.tril(np.random.default_rng(0).random((3, 2, 4, 4))).astype(np.float32)
    codec = schema("causal", 4).build()
    decoded = codec.decode(codec.encode(values), (2, 4, 4))
    np.testing.assert_array_equal(decoded.values, values)
    assert decoded.lengths.tolist() == [4, 4, 4]


def test_rows_may_be_padded_to_less_than_the_longest() -> None:
    values, lengths = drawn("maps", 2, 4, 3)
    codec = schema("maps", 6).build()
    decoded = codec.decode(codec.encode(Ragged(values, lengths)), (2, 6, 6))
    np.testing.assert_array_equal(decoded.values[:, :, :3, :3], values)
    assert np.all(decoded.values[:, :, 3:] == 0) and np.all(decoded.values[:, :, :, 3:] == 0)


def test_the_error_of_a_map_is_measured_over_real_queries_and_counts_lost_mass() -> None:
    values = np.zeros((2, 1, 4, 4), np.float32)
    values[0, 0, :2, :2], values[1, 0] = 0.5, 0.25
    codec = schema("maps", 4).build()
    lengths = np.array([2, 4])
    decoded = codec.decode(codec.encode(Ragged(values, lengths)), (1, 4, 4))
    assert codec.error(Ragged(values, lengths), decoded) == {"max_abs": 0.0}
    values[0, 0, 1, 3] = 0.125  # a real query that looks at padding: the packing loses it
    assert codec.error(Ragged(values, lengths), decoded) == {"max_abs": 0.125}
    values[0, 0, 3] = 7.0  # a padded query says nothing
    assert codec.error(Ragged(values, lengths), decoded) == {"max_abs": 0.125}


def test_an_implied_key_is_within_what_the_others_lost_together() -> None:
    values, lengths = drawn("causal and implied", 4, 20, 5)
    codec = schema("causal and implied", 5, "u8sqrt").build()
    error = np.abs(codec.decode(codec.encode(Ragged(values, lengths)), (2, 5, 5)).values - values)
    assert np.all(error[..., 0] <= error[..., 1:].sum(-1) + 1e-6)


def test_row_bytes_are_those_of_the_longest_row() -> None:
    assert schema("causal", 77, "u8sqrt").row_bytes() == 4 + 2 * 77 * 78 // 2
    assert schema("causal and implied", 77, "u8sqrt").row_bytes() == 4 + 2 * 76 * 77 // 2
    assert schema("implied", 77, "u8sqrt").row_bytes() == 4 + 2 * 76 * 77
    assert schema("tokens", 77, "int8").row_bytes() == 4 + 77 * (6 + 4)


@pytest.mark.parametrize(
    ("values", "lengths", "message"),
    [((2, 3, 6), [1, 4], "do not fit"), ((2, 3, 6), [-1, 2], "do not fit"), ((2, 9, 6), [1, 8], "5 are the most")],
)
def test_lengths_that_cannot_be_are_refused(values: tuple[int, ...], lengths: list[int], message: str) -> None:
    with pytest.raises(CacheError, match=message):
        schema("tokens", 5).build().encode(Ragged(np.zeros(values, np.float32), np.array(lengths)))


@pytest.mark.parametrize("change", [[2, 3, 9], [2, 3, 2], [0, 0, 0], [6, 0, 0]])
def test_damaged_lengths_are_an_error_and_not_other_tokens(change: list[int]) -> None:
    codec = schema("tokens", 5).build()
    parts = codec.encode(Ragged(np.ones((3, 5, 6), np.float32), np.array([2, 3, 1])))
    for lengths in (np.array(change, np.uint32), torch.tensor(change, dtype=torch.uint32)):
        values = parts["values"] if isinstance(lengths, np.ndarray) else torch.from_numpy(parts["values"])
        with pytest.raises(DamagedCacheError, match="lengths are damaged"):
            codec.decode({"lengths": lengths, "values": values}, (5, 6))


@pytest.mark.parametrize(
    ("shape", "packing", "codec", "message"),
    [
        ((2, 4, 5), Packing((1, 2)), "f32", "no square map"),
        ((4,), Packing((1,)), "f32", "no axis of tokens"),
        ((4,), Packing((0, 1)), "f32", "no square map"),
        ((4, 9), Packing((0,)), "u8", "cannot keep rows of different lengths"),
        ((4, 4, 9), Packing((0, 1)), "head", "keeps the logits of tokens, and no maps"),
        ((4, 4, 9), Packing((0, 1)), "topk", "keeps the logits of tokens, and no maps"),
        ((4,), Packing((0,)), "int8", "needs a vector"),
    ],
)
def test_what_cannot_be_packed_is_refused(shape: tuple[int, ...], packing: Packing, codec: str, message: str) -> None:
    parameters = {"k": 2} if codec == "topk" else {}
    with pytest.raises(CacheError, match=message):
        SignalSchema("x", codec, parameters, shape, packing=packing).parts()


def test_lengths_that_were_changed_on_the_disk_are_found_when_rows_are_read(tmp_path: Path) -> None:
    schemas = {"x": schema("tokens", 5)}
    cache = create_cache(tmp_path / "cache", Manifest({"signals": {}}, schemas, ("a",), 1, 4))
    writer = cache.writer("a")
    writer.append({"x": cache.codec("x").encode(Ragged(np.ones((3, 5, 6), np.float32), np.array([2, 3, 1])))})
    writer.seal(RowIndex(np.array(list("abc")), np.zeros(3, np.uint16), np.zeros(3, np.int64), np.zeros((3, 0))))
    (file,) = (tmp_path / "cache" / "shards").glob("a.*/x/lengths/c/0")
    data = bytearray(file.read_bytes())
    data[0:4] = np.uint32(6).tobytes()
    file.write_bytes(data)
    with pytest.raises(DamagedCacheError, match="a row of 6 tokens of at most 5"):
        open_cache(tmp_path / "cache").encoded("x", np.arange(3))


@given(st.lists(st.integers(0, 300), min_size=1, max_size=2), st.booleans(), st.booleans())
def test_places_of_elements_are_those_that_are_kept(lengths: list[int], causal: bool, implied: bool) -> None:
    packing, found = Packing((0, 1), causal, implied), np.array(lengths)
    expected = [
        (row, query, key)
        for row, length in enumerate(lengths)
        for query in range(length)
        for key in range(implied, query + 1 if causal else length)
    ]
    places = element_places(found, len(expected), packing, 300)
    assert len(expected) == packing.counts(found).sum()
    np.testing.assert_array_equal(np.stack(places, 1), np.array(expected).reshape(-1, 3))


def test_packed_rows_survive_the_disk(tmp_path: Path) -> None:
    signals = {
        "text": SignalSchema("text", "f16", {}, (5, 5), packing=Packing((0, 1), causal=True)),
        "hidden": SignalSchema("hidden", "int8", {}, (5, 6), packing=Packing((0,))),
    }
    cache = create_cache(tmp_path / "cache", Manifest({"signals": {}}, signals, ("a", "b"), 1, 4))
    written = {name: [] for name in signals}
    for seed, (shard, rows) in enumerate((("a", 9), ("b", 3))):
        drawn_now = {"text": drawn("one causal map", seed, rows, 5), "hidden": drawn("tokens", seed, rows, 5)}
        writer = cache.writer(shard)
        writer.append({name: cache.codec(name).encode(Ragged(*pair)) for name, pair in drawn_now.items()})
        ids = np.array([f"{shard}{i}" for i in range(rows)])
        writer.seal(RowIndex(ids, np.zeros(rows, np.uint16), np.zeros(rows, np.int64), np.zeros((rows, 0))))
        for name, pair in drawn_now.items():
            written[name].append(pair)
    order = np.array([11, 0, 5, 5, 9, 3])
    read = open_cache(tmp_path / "cache").read(order).signals
    for name, atol in (("text", 2**-11), ("hidden", 1 / 250)):
        values, lengths = (np.concatenate(column)[order] for column in zip(*written[name], strict=True))
        np.testing.assert_allclose(read[name].values, values, atol=atol)
        np.testing.assert_array_equal(read[name].lengths, lengths)


LOGITS = {
    "topk": {"k": 3, "temperatures": [1.0, 2.0], "entropy": True},
    "pps": {"k": 3, "temperatures": [1.0, 2.0]},
    "sampling": {"draws": 6},
}


@pytest.mark.parametrize("codec", LOGITS)
@given(seed=st.integers(0, 10**6), rows=st.integers(0, 5), tokens=st.integers(1, 4))
def test_sparse_logits_of_tokens_are_those_of_each_token_alone(codec: str, seed: int, rows: int, tokens: int) -> None:
    rng = np.random.default_rng(seed)
    values, lengths = rng.normal(0, 3, (rows, tokens, 9)).astype(np.float32), rng.integers(0, tokens + 1, rows)
    packed = SignalSchema("x", codec, LOGITS[codec], (tokens, 9), packing=Packing((0,))).build()
    alone = SignalSchema("x", codec, LOGITS[codec], (9,)).build()
    real = values[np.arange(tokens) < lengths[:, None]]
    parts = packed.encode(Ragged(values, lengths))
    for name, part in alone.encode(real).items():
        np.testing.assert_array_equal(parts[name], part)
    decoded = packed.decode(parts, (tokens, 9))
    assert isinstance(decoded, TokenLogits) and decoded.lengths.tolist() == lengths.tolist()
    np.testing.assert_array_equal(decoded.targets.ids, alone.decode(alone.encode(real), (9,)).ids)
    if len(real):
        loud = np.where((np.arange(tokens) < lengths[:, None])[..., None], values, np.float32(np.nan))
        figures = packed.error(Ragged(loud, lengths), decoded)
        assert figures == alone.error(real, decoded.targets)
        if codec == "topk":  # of a float16 of at most the row's range
            span = (real.max(axis=1) - real.min(axis=1)).max()
            assert figures["max_abs"] <= span * 2**-11 + 2**-24


def test_sparse_logits_of_tokens_pack_alike_in_numpy_and_torch_and_survive_the_disk(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values, lengths = rng.normal(0, 3, (6, 4, 9)).astype(np.float32), np.array([4, 0, 2, 1, 4, 3])
    schemas = {name: SignalSchema(name, name, LOGITS[name], (4, 9), packing=Packing((0,))) for name in LOGITS}
    cache = create_cache(tmp_path / "cache", Manifest({"signals": {}}, schemas, ("a",), 1, 4))
    encoded = {name: one.build().encode(Ragged(values, lengths)) for name, one in schemas.items()}
    for name, one in schemas.items():
        theirs = one.build().encode(Ragged(torch.from_numpy(values), torch.from_numpy(lengths)))
        for part, array in encoded[name].items():
            np.testing.assert_allclose(array, theirs[part].numpy(), rtol=1e-5)
    writer = cache.writer("a")
    writer.append(encoded)
    ids = np.array([str(i) for i in range(6)])
    writer.seal(RowIndex(ids, np.zeros(6, np.uint16), np.zeros(6, np.int64), np.zeros((6, 0))))
    found = open_cache(tmp_path / "cache").read(np.array([5, 0, 1, 2]), list(LOGITS)).signals
    for name, one in schemas.items():
        chosen = Ragged(values[[5, 0, 1, 2]], lengths[[5, 0, 1, 2]])
        expected = one.build().decode(one.build().encode(chosen), (4, 9))
        assert found[name].lengths.tolist() == [3, 4, 0, 2]
        np.testing.assert_array_equal(found[name].targets.ids, expected.targets.ids)
