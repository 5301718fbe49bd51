"""The recipe `text` compares one student on four rungs, its file passes `check`, and a short run of it reports."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from teachercache.pipeline.config import load_config

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "pipeline/recipes/text/recipe.yaml"


def elsewhere(folder: Path) -> Path:
    """The recipe with its output in `folder`: a run that stands in the checkout must not decide a test."""
    content = {**yaml.safe_load(RECIPE.read_text()), "output": str(folder / "run")}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content))
    return folder / "recipe.yaml"


def test_rungs_are_one_student_and_differ_in_what_it_learns_from_alone() -> None:
    students = {one.name: one for one in load_config(RECIPE).students}
    assert list(students) == ["labels", "labelled", "pool", "shuffled"]
    assert len({(str(one.takes), str(one.args), str(one.optimizer), one.terms) for one in students.values()}) == 1
    assert [one.control for one in students.values()] == ["labels-only", None, None, "shuffled-cache"]
    assert students["labelled"].select is not None and students["pool"].select is None


def test_a_drawn_share_leaves_hardly_more_than_the_labelled_texts() -> None:
    config = load_config(RECIPE)
    labelled = next(one for one in config.students if one.name == "labelled")
    assert labelled.select is not None and labelled.select.by == "random" and config.train.labelled is not None
    share = labelled.select.share
    assert isinstance(share, float) and share * 3000 < config.train.labelled.count / 100


@pytest.mark.slow  # each student takes its first steps
def test_the_file_passes_check(run: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    assert "ready: teachercache run" in run("check", elsewhere(tmp_path))


@pytest.mark.slow  # four trials and their evaluation
def test_the_whole_recipe_runs_to_a_report_with_its_ladder(
    run: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    content = yaml.safe_load(RECIPE.read_text())
    content["output"] = str(tmp_path / "run")
    content["source"]["path"] = "data/samples/glosses/train-0000.tar"
    content["train"] |= {"steps": 20, "batch_size": 32, "seeds": [0], "labelled": {"count": 60, "per_batch": 16}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
    run("run", tmp_path / "recipe.yaml")
    report = json.loads((tmp_path / "run/report.json").read_text())
    assert [rung["student"] for rung in report["ladder"]["rungs"]] == ["labels", "labelled", "pool"]
    assert report["ladder"]["control"]["student"] == "shuffled"
