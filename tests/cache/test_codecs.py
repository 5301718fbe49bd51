"""Codecs: their bounds hold, numpy and torch agree, what they store is what they say."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from teachercache.cache import CacheError
from teachercache.cache.codecs import build_codec

PARAMETERS: dict[str, dict[str, Any]] = {"topk": {"k": 4, "temperatures": [1.0, 2.0, 4.0]}}
ROWS = ["f32", "f16", "bf16", "int8", "u8affine", "u8sqrt", "topk"]  # take a plain row of numbers


def logits(seed: int, rows: int, width: int, scale: float) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, scale, (rows, width)).astype(np.float32)


@pytest.mark.parametrize("name", ROWS)
def test_numpy_and_torch_encode_and_decode_alike(name: str) -> None:
    codec = build_codec(name, PARAMETERS.get(name, {}))
    values = np.abs(logits(0, 33, 12, 0.2)).clip(0, 1) if name == "u8sqrt" else logits(0, 33, 12, 5.0)
    ours, theirs = codec.encode(values), codec.encode(torch.from_numpy(values))
    for part in codec.parts((12,)):
        assert ours[part.name].dtype == part.dtype == theirs[part.name].numpy().dtype
        assert ours[part.name].shape == (33, *part.shape)
        np.testing.assert_allclose(ours[part.name], theirs[part.name].numpy(), rtol=1e-5, atol=1e-5)
    assert codec.error(values, codec.decode(ours, (12,))) == pytest.approx(
        codec.error(torch.from_numpy(values), codec.decode(theirs, (12,))), abs=1e-5
    )


@given(st.integers(0, 10**6), st.sampled_from([1e-3, 1.0, 1e4]))
def test_f16_errs_by_at_most_half_a_unit_in_the_last_place(seed: int, scale: float) -> None:
    values = logits(seed, 3, 50, scale)
    codec = build_codec("f16", {})
    error = np.abs(codec.decode(codec.encode(values), (50,)) - values)
    assert np.all(error <= np.abs(values) * 2.0**-11 + 2.0**-25)


def test_f16_clamps_what_it_cannot_hold_instead_of_storing_infinity() -> None:
    codec = build_codec("f16", {})
    decoded = codec.decode(codec.encode(np.array([[70000.0, -1e9]], np.float32)), (2,))
    np.testing.assert_array_equal(decoded, [[65504.0, -65504.0]])


@given(st.integers(0, 10**6), st.sampled_from([1e-30, 1e-6, 1.0, 1e6]))
def test_int8_errs_by_at_most_half_a_step_of_its_row(seed: int, scale: float) -> None:
    values = logits(seed, 4, 64, scale)
    codec = build_codec("int8", {})
    step = np.abs(values).max(axis=1, keepdims=True) / 127
    assert np.all(np.abs(codec.decode(codec.encode(values), (64,)) - values) <= step * 0.5001)


@given(st.integers(0, 10**6), st.sampled_from([1e-30, 1e-3, 1.0, 1e4, 1e30]))
def test_bf16_errs_by_at_most_half_a_unit_in_the_last_place(seed: int, scale: float) -> None:
    values = logits(seed, 3, 50, scale)
    codec = build_codec("bf16", {})
    decoded = codec.decode(codec.encode(values), (50,))
    assert np.all(np.abs(decoded - values) <= np.abs(values) * 2.0**-8)
    np.testing.assert_array_equal(decoded, torch.from_numpy(values).bfloat16().float().numpy())


def test_bf16_rounds_halves_to_even_and_never_to_infinity() -> None:
    codec = build_codec("bf16", {})
    values = np.array([[1 + 2**-8, 1 + 3 * 2**-8, -(1 + 2**-8), 3.4e38, -3.4e38, 0.0, 1e-40]], np.float32)
    decoded = codec.decode(codec.encode(values), (7,))
    largest = 3.3895313892515355e38
    np.testing.assert_array_equal(decoded[0, :6], np.array([1, 1 + 2**-6, -1, largest, -largest, 0], np.float32))
    assert abs(decoded[0, 6] - 1e-40) <= 2.0**-134


@given(
    st.integers(0, 10**6), st.sampled_from([1e-6, 1.0, 300.0]), st.floats(-2e4, 2e4), st.sampled_from(["f32", "f16"])
)
def test_u8affine_errs_by_at_most_half_a_step_of_its_row(seed: int, spread: float, centre: float, scale: str) -> None:
    values = logits(seed, 4, 64, spread) + np.float32(centre)
    codec = build_codec("u8affine", {"scale": scale})
    parts = codec.encode(values)
    step = parts["scale"].astype(np.float32)[:, None]
    error = np.abs(codec.decode(parts, (64,)) - values)
    assert np.all(error <= step * 0.5001 + np.abs(values) * 2.0**-22)
    # Rounding scale and offset outwards costs little: an ulp of the offset and of the range.
    rounding = 0.0 if scale == "f32" else np.abs(values.min(1)) * 2**-9 + np.ptp(values, axis=1) * 2**-9 + 2**-15
    assert np.all(step[:, 0] * 255 <= np.ptp(values, axis=1) * 1.0001 + rounding)


def test_u8affine_keeps_equal_values_and_clamps_what_has_no_finite_step() -> None:
    for scale in ("f32", "f16"):
        codec = build_codec("u8affine", {"scale": scale})
        for value in (0.0, 7.0, -1e4):
            decoded = codec.decode(codec.encode(np.full((2, 5), value, np.float32)), (5,))
            np.testing.assert_allclose(decoded, value, rtol=2**-17 if scale == "f16" else 0)
    codec = build_codec("u8affine", {"scale": "f16"})
    decoded = codec.decode(codec.encode(np.array([[3e38, -3e38]], np.float32)), (2,))
    np.testing.assert_allclose(decoded, [[65000, -65000]], rtol=0.01)


def test_u8affine_of_a_thousand_logits_takes_1004_bytes_and_a_small_divergence() -> None:
    values = logits(0, 64, 1000, 2.0)
    for scale, size in (("f16", 1004), ("f32", 1008)):
        codec = build_codec("u8affine", {"scale": scale})
        assert sum(np.dtype(p.dtype).itemsize * int(np.prod(p.shape)) for p in codec.parts((1000,))) == size
        assert codec.error(values, codec.decode(codec.encode(values), (1000,)))["kl"] < 1e-4


@pytest.mark.parametrize("name", ["f16", "bf16", "int8", "u8affine", "u8sqrt"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_half_precision_and_double_are_encoded_as_their_float32_values(name: str, dtype: torch.dtype) -> None:
    values = torch.from_numpy(logits(2, 5, 8, 0.3)).abs().to(dtype)
    codec = build_codec(name, {})
    ours, theirs = codec.encode(values), codec.encode(values.float())
    assert all(torch.equal(ours[part], theirs[part]) for part in theirs)


def test_int8_keeps_an_all_zero_row_zero() -> None:
    codec = build_codec("int8", {})
    np.testing.assert_array_equal(codec.decode(codec.encode(np.zeros((2, 5), np.float32)), (5,)), np.zeros((2, 5)))


@given(st.integers(0, 10**6), st.floats(0.02, 5.0))
def test_u8sqrt_errs_within_its_stated_bound(seed: int, sharpness: float) -> None:
    values = np.random.default_rng(seed).dirichlet(np.full(50, sharpness), 8).astype(np.float32)
    codec = build_codec("u8sqrt", {})
    error = np.abs(codec.decode(codec.encode(values), (50,)) - values)
    assert np.all(error <= (2 * np.sqrt(values) + 1 / 510) / 510 + 1e-6)


@given(st.integers(0, 10**6), st.integers(1, 12), st.sampled_from([0.5, 3.0, 30.0]))
def test_topk_keeps_the_largest_and_the_exact_tail_at_every_temperature(seed: int, k: int, scale: float) -> None:
    values = logits(seed, 5, 12, scale)
    codec = build_codec("topk", {"k": k, "temperatures": [1.0, 2.0, 4.0]})
    sparse = codec.decode(codec.encode(values), (12,))
    shifted = values.astype(np.float64) - values.max(axis=1, keepdims=True)
    ranked = np.sort(shifted, axis=1)[:, ::-1]
    np.testing.assert_allclose(np.take_along_axis(shifted, sparse.ids, 1), ranked[:, :k])
    np.testing.assert_allclose(sparse.values, ranked[:, :k], rtol=2**-10, atol=1e-6)
    for temperature, tail in sparse.tails.items():
        with np.errstate(divide="ignore"):
            exact = np.log(np.exp(ranked[:, k:] / temperature).sum(axis=1))
        np.testing.assert_allclose(tail, exact, rtol=1e-4, atol=1e-4)


def test_topk_ids_above_32767_survive() -> None:
    values = np.zeros((1, 60000), np.float32)
    values[0, 59999] = 9.0
    codec = build_codec("topk", {"k": 1})
    for x in (values, torch.from_numpy(values)):
        assert int(codec.decode(codec.encode(x), (60000,)).ids[0, 0]) == 59999
    assert codec.parts((70000,))[0].dtype == "uint8"  # three bytes, little endian


def test_stated_sizes_hold() -> None:
    def size(name: str, shape: tuple[int, ...], **parameters: Any) -> int:
        parts = build_codec(name, parameters).parts(shape)
        return sum(np.dtype(p.dtype).itemsize * int(np.prod(p.shape)) for p in parts)

    assert size("topk", (1000,), k=16) <= 80
    assert size("int8", (768,)) <= 772
    assert size("u8sqrt", (12, 12, 50, 50)) <= 360_000


def test_an_unknown_codec_or_parameter_is_an_error_that_names_it() -> None:
    with pytest.raises(CacheError, match="unknown codec 'zip'"):
        build_codec("zip", {})
    with pytest.raises(CacheError, match="topk needs k"):
        build_codec("topk", {})
    with pytest.raises(CacheError, match="at least 20"):
        build_codec("topk", {"k": 20}).parts((10,))
    with pytest.raises(CacheError, match="needs a vector"):
        build_codec("int8", {}).parts(())
    with pytest.raises(CacheError, match="needs a vector"):
        build_codec("u8affine", {}).parts(())
    with pytest.raises(CacheError, match="not 'f64'"):
        build_codec("u8affine", {"scale": "f64"})
