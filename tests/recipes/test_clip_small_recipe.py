"""The recipe `clip_small` asks for what its names promise, its file passes `check`, and a short run of it reports."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from teachercache.pipeline.config import load_config
from teachercache.pipeline.recipes.clip_small.make_samples import SAMPLES, prompt_samples
from teachercache.pipeline.recipes.clip_small.retrieval import PROMPTS
from teachercache.pipeline.recipes.sample_shards import read_samples

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "pipeline/recipes/clip_small/recipe.yaml"
SETS = ["seen", "unseen-style", "unseen-concepts"]


def elsewhere(folder: Path) -> Path:
    """The recipe with its output in `folder`: a run that stands in the checkout must not decide a test."""
    content = {**yaml.safe_load(RECIPE.read_text()), "output": str(folder / "run")}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content))
    return folder / "recipe.yaml"


def test_every_student_has_contrast_feature_relation_and_attention() -> None:
    config = load_config(RECIPE)
    assert [one.name for one in config.students] == ["half", "fifth", "tiny"]
    for one in config.students:
        losses = {term.loss for term in one.terms}
        assert {"clip_contrastive", "cosine", "clip_affinity", "rkd_distance", "attention_kl"} <= losses


def test_held_out_pairs_are_no_training_pairs() -> None:
    config = load_config(RECIPE)
    assert list(config.evaluate.sets) == SETS
    names = [config.source.path, *(one.path for one in config.evaluate.sets.values())]
    assert [Path(str(name)).name for name in names] == ["train-*.tar", *(f"{name}-*.tar" for name in SETS)]


def test_shipped_prompts_are_those_of_the_teachers_card() -> None:
    found = [members for _, members in read_samples(ROOT / SAMPLES, "prompts")]
    assert [json.loads(members["json"]) for members in found] == [[text] for text in PROMPTS]
    assert [int(members["cls"]) for members in found] == list(range(len(PROMPTS)))
    assert [members["json"] for members in found] == [sample["json"] for sample in prompt_samples()]


def parameters(said: str, student: str) -> int:
    return int(said.split(f"student {student}: ")[1].split(" ")[0].replace(",", ""))


@pytest.mark.slow  # the first steps of three students under three arms
def test_the_file_passes_check_and_students_are_as_small_as_they_say(
    run: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    said = run("check", elsewhere(tmp_path))
    assert "ready: teachercache run" in said
    fewer = [1 - parameters(said, name) / 1_314_177 for name in ("half", "fifth", "tiny")]
    assert fewer == pytest.approx([0.54, 0.80, 0.95], abs=0.015)


@pytest.mark.slow  # nine trials on three held-out sets
def test_the_whole_recipe_runs_to_a_report_of_all_sets(
    run: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    content = yaml.safe_load(RECIPE.read_text())
    content["output"] = str(tmp_path / "run")
    content["source"]["path"] = "data/samples/emoji/train-0000.tar"
    content["train"] |= {"steps": 6, "batch_size": 16, "seeds": [0]}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
    run("run", tmp_path / "recipe.yaml")
    evaluation = json.loads((tmp_path / "run/students/tiny/distilled/seed-0/evaluation.json").read_text())
    assert {"r1", "r5", "zero_shot"} <= set(evaluation["figures"])
    assert set(evaluation["sets"]) == set(SETS[1:])
    assert (tmp_path / "run/report.html").exists()
