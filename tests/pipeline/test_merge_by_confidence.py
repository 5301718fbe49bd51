"""Caches of several teachers merged by calibrated confidence, and a run whose cache such a merge has made."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from teachercache.cache import open_cache
from teachercache.cache.rewriting.average import confident_mean_logits, mean_logits
from teachercache.stages.quality import public_calibration


def softmax(z: np.ndarray) -> np.ndarray:
    found: np.ndarray = torch.softmax(torch.from_numpy(np.asarray(z, np.float64)), -1).numpy()
    return found


def test_a_row_belongs_to_those_who_know_it() -> None:
    knows, guesses = np.array([[8.0, 0.0, 0.0]]), np.zeros((1, 3))
    merged = softmax(confident_mean_logits([knows, guesses], [1, 1], [1, 1]))
    np.testing.assert_allclose(merged, softmax(knows), atol=2e-3)
    assert softmax(mean_logits([knows, guesses], [1, 1]))[0, 0] < 0.7
    np.testing.assert_allclose(softmax(confident_mean_logits([guesses, guesses], [1, 3], [1, 1])), 1 / 3)


def test_it_is_the_mean_that_the_formula_says() -> None:
    rng = np.random.default_rng(0)
    logits, weights, temperatures = [rng.normal(0, 3, (7, 5)) for _ in range(3)], [1.0, 2.0, 0.5], [1.0, 2.5, 0.7]
    p = np.stack([softmax(z / t) for z, t in zip(logits, temperatures, strict=True)])
    sure = 1 + (p * np.log(p)).sum(-1) / np.log(5)
    says = np.array(weights)[:, None] * sure
    expected = ((says / says.sum(0))[..., None] * p).sum(0)
    found = np.exp(confident_mean_logits(logits, weights, temperatures).astype(np.float64))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.fixture
def two_caches(
    run: Callable[..., str], make_recipe: Callable[..., Path], small_teacher: Path, tmp_path: Path
) -> list[str]:
    """Two teachers' caches of the same samples; the second's head has other weights."""
    import shutil

    from transformers import ViTForImageClassification

    other = tmp_path / "other"
    shutil.copytree(small_teacher, other)
    model = ViTForImageClassification.from_pretrained(small_teacher)
    torch.manual_seed(3)
    torch.nn.init.normal_(model.classifier.weight)
    model.save_pretrained(other)
    for name, folder in {"a": small_teacher, "b": other}.items():
        recipe = make_recipe(output=str(tmp_path / name), teacher={"model": str(folder), "workers": 0})
        content = yaml.safe_load(recipe.read_text())
        alone = {key: it for key, it in content.items() if key not in ("train", "students", "evaluate")}
        alone["cache"] = {"block": 8, "signals": {"logits": {"codec": "f32"}}}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(alone))
        run("cache", "build", tmp_path / f"{name}.yaml")
    return [str(tmp_path / "a/cache"), str(tmp_path / "b/cache")]


@pytest.mark.slow  # two caches, a merge, a dry run and a short training
def test_a_merge_by_confidence_is_calibrated_on_labels_and_a_file_trains_from_it(
    run: Callable[..., str],
    make_recipe: Callable[..., Path],
    two_caches: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = str(tmp_path / "merged")
    words = ("cache", "merge", out, *two_caches, "--average", "logits", "--by-confidence")
    assert "20 are the fewest" in run(*words, code=2)  # 18 samples have a label
    assert "say which signal" in run("cache", "merge", out, *two_caches, "--by-confidence", code=2)
    monkeypatch.setattr(public_calibration, "_FEWEST", 10)
    assert "of 18 labelled samples, temperature" in run(*words)
    merged, (a, b) = open_cache(out), map(open_cache, two_caches)
    temperatures = merged.manifest.fingerprint["teacher"]["temperatures"]
    rows = np.arange(merged.rows)
    logits = [cache.read(rows, ["logits"]).signals["logits"] for cache in (a, b)]
    expected = confident_mean_logits(logits, [1, 1], temperatures)
    np.testing.assert_allclose(merged.read(rows, ["logits"]).signals["logits"], expected, atol=1e-6)
    assert "stood already" in run(*words)

    recipe = make_recipe(cache={"path": out, "given": True, "block": 8, "signals": {"logits": {"codec": "f32"}}})
    content = yaml.safe_load(recipe.read_text())
    content["students"][0]["objective"] = [{"loss": "cross_entropy"}, {"loss": "kl", "signal": "logits"}]
    recipe.write_text(yaml.safe_dump(content))
    said = run("cache", "build", recipe)
    assert "given, and complete" in said and "merged-held-out" in said
    assert "the cache is given" in run("check", recipe)
    run("train", recipe)
    assert "so there is no array of its shards" in run("run", recipe, "--launch", "local", code=2)
    content["cache"]["path"] = str(tmp_path / "nowhere")
    recipe.write_text(yaml.safe_dump(content))
    assert "nowhere is no cache" in run("cache", "build", recipe, code=2)
