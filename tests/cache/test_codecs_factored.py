"""Factored attention: queries and keys come back as the probabilities they give, at a stated error."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from teachercache.cache import CacheError, SignalSchema
from teachercache.cache.codecs import Packing, QueryKey, Ragged, build_codec
from teachercache.cache.codecs.factored import probabilities


def drawn(seed: int, rows: int, tokens: int, heads: int = 4, key_heads: int = 4, **changes: Any) -> QueryKey:
    """Random queries and keys of width 8, whose scores have a spread of about 2."""
    rng = np.random.default_rng(seed)
    query = rng.normal(0, 0.8, (rows, heads, tokens, 8)).astype(np.float32)
    key = rng.normal(0, 0.8, (rows, key_heads, tokens, 8)).astype(np.float32)
    return QueryKey(query, key, **changes)


def schema(values: QueryKey, tokens: int, keep: str = "f16") -> SignalSchema:
    parameters = {"keep": keep, "width": 8, "key_heads": values.key.shape[1], "causal": bool(values.causal)}
    packing = None if values.lengths is None else Packing((1,))
    return SignalSchema("x", "factored", parameters, (values.query.shape[1], tokens, tokens), packing=packing)


def plain(values: QueryKey) -> np.ndarray:
    """The attention maps, one row and head at a time, in float64: (n, heads, T, T)."""
    n, heads, tokens, _ = values.query.shape
    found = np.zeros((n, heads, tokens, tokens))
    for row in range(n):
        length = tokens if values.lengths is None else int(values.lengths[row])
        for head in range(heads):
            key = values.key[row, head // (heads // values.key.shape[1])].astype(np.float64)
            scores = values.query[row, head, :length].astype(np.float64) @ key[:length].T
            if values.causal:
                scores[np.triu_indices(length, 1)] = -np.inf
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            found[row, head, :length, :length] = weights / weights.sum(axis=1, keepdims=True)
    return found


CASES: dict[str, dict[str, Any]] = {
    "full": {},
    "causal": {"causal": True},
    "ragged": {"lengths": np.array([6, 1, 3])},
    "ragged and causal": {"lengths": np.array([6, 1, 3]), "causal": True},
    "grouped": {"key_heads": 2},
    "one key head, ragged": {"key_heads": 1, "lengths": np.array([6, 1, 3])},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("keep", "atol"), [("f16", 2e-3), ("int8", 4e-2)])
def test_the_probabilities_come_back(case: str, keep: str, atol: float) -> None:
    values = drawn(0, 3, 6, **CASES[case])
    built = schema(values, 6, keep).build()
    decoded = built.decode(built.encode(values), (4, 6, 6))
    maps = decoded.values if isinstance(decoded, Ragged) else decoded
    assert isinstance(decoded, Ragged) == (values.lengths is not None) and maps.dtype == np.float32
    np.testing.assert_allclose(probabilities(values), plain(values), atol=1e-6)
    np.testing.assert_allclose(maps, plain(values), atol=atol)
    assert np.all((maps == 0) | (plain(values) > 0))  # padding and later tokens are exactly 0


@pytest.mark.parametrize("case", CASES)
def test_the_stated_error_is_the_true_one(case: str) -> None:
    values = drawn(1, 3, 6, **CASES[case])
    built = schema(values, 6, "int8").build()
    decoded = built.decode(built.encode(values), (4, 6, 6))
    maps = decoded.values if isinstance(decoded, Ragged) else decoded
    distance = np.abs(maps - plain(values))
    lengths = np.full(3, 6) if values.lengths is None else values.lengths
    l1 = np.concatenate([distance[row, :, :length].sum(-1).ravel() for row, length in enumerate(lengths)])
    stated = built.error(values, decoded)
    assert stated == pytest.approx({"max_abs": distance.max(), "row_l1": l1.max(), "row_l1_mean": l1.mean()}, abs=1e-5)
    assert stated["row_l1_mean"] > 0


@given(st.integers(0, 10**6), st.sampled_from([0.3, 1.0, 3.0]))
def test_the_error_is_bounded_by_that_of_the_scores(seed: int, spread: float) -> None:
    """|p - q| summed over a row is at most exp(2 e) - 1 when no score is off by more than e."""
    values = drawn(seed, 2, 5)
    values = QueryKey(values.query * np.float32(spread), values.key)
    for keep in ("f16", "int8"):
        built = schema(values, 5, keep).build()
        sides = {name: np.abs(getattr(values, name)) for name in ("query", "key")}
        if keep == "f16":
            steps = {name: each * 2.0**-11 + 2.0**-25 for name, each in sides.items()}
        else:
            steps = {name: each.max(-1, keepdims=True) / 254 * np.ones_like(each) for name, each in sides.items()}
        off = sides["query"] @ np.moveaxis(steps["key"], 2, 3) + steps["query"] @ np.moveaxis(
            sides["key"] + steps["key"], 2, 3
        )
        bound = np.expm1(2 * off.max(-1)) + 1e-5
        decoded = built.decode(built.encode(values), (4, 5, 5))
        assert np.all(np.abs(decoded - plain(values)).sum(-1) <= bound)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("keep", ["f16", "int8"])
def test_numpy_and_torch_agree(case: str, keep: str) -> None:
    values = drawn(2, 3, 6, **CASES[case])
    lengths = None if values.lengths is None else torch.from_numpy(values.lengths)
    tensors = QueryKey(torch.from_numpy(values.query), torch.from_numpy(values.key), lengths, values.causal)
    built = schema(values, 6, keep).build()
    ours, theirs = built.encode(values), built.encode(tensors)
    assert set(ours) == set(theirs) == {part.name for part in built.parts((4, 6, 6))}
    for part in built.parts((4, 6, 6)):
        assert ours[part.name].dtype == part.dtype == theirs[part.name].numpy().dtype
        np.testing.assert_array_equal(ours[part.name], theirs[part.name].numpy())
    one, other = built.decode(ours, (4, 6, 6)), built.decode(theirs, (4, 6, 6))
    pair = (one.values, other.values.numpy()) if isinstance(one, Ragged) else (one, other.numpy())
    np.testing.assert_allclose(*pair, atol=1e-6)
    assert built.error(values, one) == pytest.approx(built.error(tensors, other), abs=1e-5)


def test_rows_of_full_length_may_come_without_lengths() -> None:
    values = drawn(3, 2, 6)
    built = schema(QueryKey(values.query, values.key, np.array([6, 6])), 6).build()
    decoded = built.decode(built.encode(values), (4, 6, 6))
    np.testing.assert_allclose(decoded.values, plain(values), atol=2e-3)
    assert decoded.lengths.tolist() == [6, 6]


def test_bytes_are_those_of_queries_and_keys() -> None:
    assert schema(drawn(0, 1, 6), 50).row_bytes() == 2 * (4 + 4) * 50 * 8
    assert schema(drawn(0, 1, 6, key_heads=2), 50, "int8").row_bytes() == (4 + 2) * 50 * (8 + 4)
    assert schema(drawn(0, 1, 6, lengths=np.array([2])), 50).row_bytes() == 4 + 2 * (4 + 4) * 50 * 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"causal": True}, "is causal, the first was not causal"),
        ({"key_heads": 2}, "2, 6, 8.*4 heads"),
        ({"lengths": np.array([2, 3])}, "no attention_mask"),
    ],
)
def test_a_batch_unlike_the_first_is_refused(changes: dict[str, Any], message: str) -> None:
    built = schema(drawn(0, 2, 6), 6).build()
    with pytest.raises(CacheError, match=message):
        built.encode(drawn(0, 2, 6, **changes))


@pytest.mark.parametrize(
    ("shape", "parameters", "message"),
    [
        ((50, 50), {"width": 8, "key_heads": 4}, "maps of a whole layer|maps \\(heads, T, T\\)"),
        ((4, 50, 50), {}, "maps"),
        ((4, 50, 50), {"width": 8, "key_heads": 3}, "3 key heads"),
    ],
)
def test_what_is_no_layer_of_attention_is_refused(
    shape: tuple[int, ...], parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(CacheError, match=message):
        build_codec("factored", parameters).parts(shape)


@pytest.mark.parametrize(
    "parameters",
    [{"keep": "f64"}, {"width": -1, "key_heads": 1}, {"width": 8}, {"width": True, "key_heads": 1}, {"causal": "no"}],
)
def test_parameters_that_cannot_be_are_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(CacheError, match="factored"):
        build_codec("factored", parameters)
