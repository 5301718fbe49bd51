"""A teacher is judged by its cache alone; what cannot be judged is said."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from teachercache.cache import Cache, Manifest, RowIndex, SignalSchema, create_cache, open_cache
from teachercache.stages.errors import StageError
from teachercache.stages.quality.advice import advise
from teachercache.stages.quality.answers import read_answers
from teachercache.stages.quality.quality import judge_teacher

CLASSES, WIDTH, SAMPLES, VIEWS = 6, 12, 50, 3


def write_cache(
    root: Path, signals: Sequence[SignalSchema], values: dict[str, np.ndarray], labels: np.ndarray
) -> Cache:
    manifest = Manifest({"teacher": "tiny"}, {schema.name: schema for schema in signals}, ("s0",), VIEWS, 16)
    cache = create_cache(root, manifest)
    writer = cache.writer("s0")
    writer.append({schema.name: schema.build().encode(values[schema.name]) for schema in signals})
    ids = np.repeat([f"s{number:03d}" for number in range(len(labels))], VIEWS)
    rows = RowIndex(ids, np.tile(np.arange(VIEWS), len(labels)), np.repeat(labels, VIEWS), np.zeros((len(ids), 0)))
    writer.seal(rows)
    return open_cache(root)


@pytest.fixture
def values() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    embedding = draw.normal(size=(SAMPLES * VIEWS, 3)) @ draw.normal(size=(3, WIDTH))
    return {
        "logits": draw.normal(size=(SAMPLES * VIEWS, CLASSES)).astype(np.float32) * 2,
        "other": draw.normal(size=(SAMPLES * VIEWS, CLASSES)).astype(np.float32),
        "embedding": embedding.astype(np.float32),
    }


SCHEMAS = (
    SignalSchema("logits", "f32", {}, (CLASSES,), "logits"),
    SignalSchema("other", "f32", {}, (CLASSES,), "logits"),
    SignalSchema("embedding", "f32", {}, (WIDTH,), "embedding"),
)


def test_figures_are_those_of_the_logits(tmp_path: Path, values: dict[str, np.ndarray]) -> None:
    labels = np.arange(SAMPLES) % CLASSES
    labels[::7] = -1
    quality = judge_teacher(write_cache(tmp_path / "c", SCHEMAS, values, labels), others=("other",))
    p = np.exp(values["logits"]) / np.exp(values["logits"]).sum(axis=1, keepdims=True)
    plain = p[::VIEWS]
    known = labels >= 0
    assert quality.accuracy == np.mean(plain[known].argmax(axis=1) == labels[known])
    np.testing.assert_allclose(quality.answers.entropy.reshape(-1), -(p * np.log(p)).sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(quality.answers.probability[:, 0, 0], plain.max(axis=1), rtol=1e-5)
    said = quality.answers.label_probability[:, 0]
    np.testing.assert_allclose(said[known], plain[known, labels[known]], rtol=1e-5)
    assert np.isnan(said[~known]).all()
    second = np.log(plain / p[1::VIEWS])
    assert quality.view_divergence[1] == pytest.approx((plain * second).sum(axis=1).mean(), rel=1e-4)
    assert quality.agreements == {"other": np.mean(p.argmax(axis=1) == values["other"].argmax(axis=1))}


def test_spectrum_finds_the_directions_that_an_embedding_uses(tmp_path: Path, values: dict[str, np.ndarray]) -> None:
    quality = judge_teacher(write_cache(tmp_path / "c", SCHEMAS, values, np.zeros(SAMPLES, np.int64)))
    (spectrum,) = quality.spectra
    assert spectrum.dimensions(0.999) == 3 and spectrum.effective <= 3
    expected = np.linalg.eigvalsh(np.cov(values["embedding"].T.astype(np.float64), bias=True))[::-1]
    np.testing.assert_allclose(spectrum.variance, expected.clip(0) / expected.sum(), atol=1e-6)


def test_a_teacher_without_labels_is_described_but_not_judged(tmp_path: Path, values: dict[str, np.ndarray]) -> None:
    quality = judge_teacher(write_cache(tmp_path / "c", SCHEMAS, values, np.full(SAMPLES, -1)))
    assert quality.accuracy is None and quality.calibration is None and quality.suspects is None
    assert {one.setting for one in quality.advice} == {"k", "PCA of embedding"}


def test_sparse_logits_are_refused(tmp_path: Path, values: dict[str, np.ndarray]) -> None:
    schemas = (SignalSchema("logits", "topk", {"k": 2, "temperatures": [1.0]}, (CLASSES,), "logits"),)
    cache = write_cache(tmp_path / "c", schemas, values, np.zeros(SAMPLES, np.int64))
    with pytest.raises(StageError, match="keeps no dense logits"):
        judge_teacher(cache)


def test_unknown_signals_and_foreign_labels_are_refused(tmp_path: Path, values: dict[str, np.ndarray]) -> None:
    cache = write_cache(tmp_path / "c", SCHEMAS, values, np.full(SAMPLES, CLASSES))
    with pytest.raises(StageError, match=f"label {CLASSES} is no class of logits"):
        read_answers(cache)
    with pytest.raises(StageError, match="has no signal 'nothing'"):
        read_answers(cache, "nothing")


@pytest.mark.parametrize(("student", "verdict"), [(0.1, "yes"), (0.99, "no")])
def test_advice_says_whether_the_teacher_is_ahead(
    tmp_path: Path, values: dict[str, np.ndarray], student: float, verdict: str
) -> None:
    labels = values["logits"][::VIEWS].argmax(axis=1)
    labels[:10] = (labels[:10] + 1) % CLASSES
    quality = judge_teacher(write_cache(tmp_path / "c", SCHEMAS, values, labels))
    found = {one.setting: one for one in advise(quality.answers, quality.calibration, [], student)}
    assert found["good enough"].value == verdict
