"""PCA: the spectrum is that of the whole cache, the codec keeps what it says, and its constants live with the cache."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from teachercache.cache import CacheError, Manifest, RowIndex, SignalSchema, create_cache, open_cache
from teachercache.cache.codecs import Packing, Ragged, build_codec, fit_pca


def vectors(seed: int, count: int, width: int = 8, rank: int = 3, mean: float = 5.0) -> np.ndarray:
    """Vectors about a mean that have `rank` large directions, and a little noise."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(rank, width)) * 3.0
    noise = rng.normal(0, 0.01, (count, width))
    return (rng.normal(size=(count, rank)) @ factors + noise + mean).astype(np.float32)


@given(st.integers(0, 10**6), st.lists(st.integers(0, 9), min_size=1, max_size=6), st.sampled_from([0.0, 1e4]))
def test_the_spectrum_of_batches_is_that_of_all_vectors(seed: int, sizes: list[int], mean: float) -> None:
    values = vectors(seed, sum(sizes) + 2, mean=mean).astype(np.float64)
    spectrum = fit_pca(np.split(values, np.cumsum(sizes)))
    expected = np.linalg.eigvalsh(np.cov(values.T, bias=True))[::-1]
    assert spectrum.vectors == len(values)
    np.testing.assert_allclose(spectrum.mean, values.mean(0), rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(spectrum.variances, expected.clip(0), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(spectrum.directions.T @ spectrum.directions, np.eye(8), atol=1e-9)


def test_vectors_of_tokens_count_each_and_equal_values_give_equal_bytes() -> None:
    values = vectors(0, 12)
    one, other = fit_pca([values]), fit_pca([values.reshape(3, 4, 8)])
    np.testing.assert_array_equal(one.basis(3), other.basis(3))
    top = np.take_along_axis(one.directions, np.abs(one.directions).argmax(0)[None], 0)
    assert np.all(top > 0)


def test_dimensions_are_the_fewest_that_explain_the_variance() -> None:
    spectrum = fit_pca([vectors(0, 500)])
    assert spectrum.dimensions(0.999) == 3 and spectrum.dimensions(1) == 8
    for dimensions in range(1, 8):
        share = spectrum.explained(dimensions)
        assert (
            spectrum.dimensions(share) <= dimensions and spectrum.explained(spectrum.dimensions(share)) >= share - 1e-9
        )
    assert spectrum.explained(2) < 0.999 <= spectrum.explained(3)


def test_what_has_no_main_directions_is_an_error() -> None:
    with pytest.raises(CacheError, match="no vector"):
        fit_pca([np.zeros((0, 4))])
    with pytest.raises(CacheError, match="NaN or infinite"):
        fit_pca([np.array([[1.0, np.nan]])])
    for variance in (0.0, 1.5):
        with pytest.raises(CacheError, match="share of the variance"):
            fit_pca([np.ones((2, 3))]).dimensions(variance)
    with pytest.raises(CacheError, match="1 to 3 directions"):
        fit_pca([np.ones((2, 3))]).basis(4)
    assert fit_pca([np.ones((2, 3))]).explained(1) == 1.0


@given(st.integers(0, 10**6), st.integers(1, 8), st.sampled_from(["f16", "int8"]))
def test_the_error_is_what_the_dropped_directions_hold_and_the_rounding(seed: int, dimensions: int, keep: str) -> None:
    values = vectors(seed, 40)
    spectrum = fit_pca([values])
    constants = {"mean": spectrum.mean.astype(np.float32), "basis": spectrum.basis(dimensions)}
    codec = build_codec("pca", {"dimensions": dimensions, "keep": keep, **constants})
    decoded = codec.decode(codec.encode(values), (8,))
    coefficients = np.abs((values - spectrum.mean) @ spectrum.basis(dimensions))
    step = coefficients.max(1) / 254 if keep == "int8" else coefficients.max(1) * 2.0**-11 + 2.0**-25
    lost = np.linalg.norm((values - spectrum.mean) @ spectrum.directions[:, dimensions:], axis=1)
    distance = np.linalg.norm(values - decoded, axis=1)
    assert np.all(distance <= np.sqrt(lost**2 + dimensions * step**2) * 1.001 + 1e-4)
    unexplained = codec.error(values, decoded)["unexplained"]
    assert unexplained == pytest.approx(1 - spectrum.explained(dimensions), abs=2e-4)


@pytest.mark.parametrize("keep", ["f16", "int8"])
def test_numpy_and_torch_agree(keep: str) -> None:
    values = vectors(0, 20)
    spectrum = fit_pca([values])
    constants = {"mean": spectrum.mean.astype(np.float32), "basis": spectrum.basis(4)}
    codec = build_codec("pca", {"dimensions": 4, "keep": keep, **constants})
    ours, theirs = codec.encode(values), codec.encode(torch.from_numpy(values))
    for part in codec.parts((8,)):
        assert ours[part.name].dtype == part.dtype == theirs[part.name].numpy().dtype
        np.testing.assert_allclose(ours[part.name].astype(np.float32), theirs[part.name].float(), atol=1, rtol=2e-3)
    exchanged = {name: torch.from_numpy(part) for name, part in ours.items()}
    one, other = codec.decode(ours, (8,)), codec.decode(exchanged, (8,))
    np.testing.assert_allclose(one, other.numpy(), atol=1e-5)
    assert codec.error(values, one) == pytest.approx(codec.error(torch.from_numpy(values), other), abs=1e-5)


def test_bytes_are_those_of_the_coefficients() -> None:
    assert SignalSchema("x", "pca", {"dimensions": 64}, (768,)).row_bytes() == 128
    assert SignalSchema("x", "pca", {"dimensions": 64, "keep": "int8"}, (50, 768)).row_bytes() == 50 * 68


def test_a_cache_keeps_mean_and_basis_once_and_decodes_with_them(tmp_path: Path) -> None:
    values = vectors(0, 60).reshape(12, 5, 8)
    lengths = np.array([5, 1, 3] * 4)
    spectrum = fit_pca([values])
    constants = {"hidden.mean": spectrum.mean.astype(np.float32), "hidden.basis": spectrum.basis(3)}
    named = {"mean": "hidden.mean", "basis": "hidden.basis"}
    parameters = {"dimensions": 3, "keep": "f16"}
    signals = {
        "hidden": SignalSchema("hidden", "pca", parameters, (5, 8), constants=named, packing=Packing((0,))),
        "whole": SignalSchema("whole", "pca", parameters, (5, 8), constants=named),
    }
    cache = create_cache(tmp_path / "cache", Manifest({"signals": {}}, signals, ("a",), 1, 4), constants)
    writer = cache.writer("a")
    writer.append(
        {"hidden": cache.codec("hidden").encode(Ragged(values, lengths)), "whole": cache.codec("whole").encode(values)}
    )
    ids = np.array([f"a{i}" for i in range(12)])
    writer.seal(RowIndex(ids, np.zeros(12, np.uint16), np.zeros(12, np.int64), np.zeros((12, 0))))
    read = open_cache(tmp_path / "cache").read(np.array([7, 2, 2])).signals
    np.testing.assert_allclose(read["whole"], values[[7, 2, 2]], atol=0.1)
    assert read["hidden"].lengths.tolist() == [1, 3, 3]
    np.testing.assert_allclose(read["hidden"].values[1, :3], values[2, :3], atol=0.1)
    assert np.all(read["hidden"].values[1, 3:] == 0)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "needs dimensions"),
        ({"dimensions": 0}, "needs dimensions"),
        ({"dimensions": 2, "keep": "f32"}, "not 'f32'"),
        ({"dimensions": 2, "mean": np.zeros(4), "basis": np.zeros((4, 3))}, "do not give 2"),
        ({"dimensions": 2, "basis": np.zeros((4, 2))}, "do not give 2"),
        ({"dimensions": 2, "mean": [1, 2], "basis": [[1], [2]]}, "do not give 2"),
        ({"dimensions": 2, "mean": np.zeros(3), "basis": np.zeros((4, 2))}, "do not give 2"),
    ],
)
def test_parameters_that_cannot_be_are_refused(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(CacheError, match=message):
        build_codec("pca", parameters)


def test_without_its_constants_it_neither_encodes_nor_decodes() -> None:
    with pytest.raises(CacheError, match="mean and basis"):
        build_codec("pca", {"dimensions": 2}).encode(np.zeros((1, 4), np.float32))
    with pytest.raises(CacheError, match="at least that width"):
        build_codec("pca", {"dimensions": 9}).parts((8,))
