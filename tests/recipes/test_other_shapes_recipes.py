"""Recipes whose students are of another kind than their teacher: one student on four rungs, `check`, a short run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from teachercache.pipeline.config import load_config

ROOT = Path(__file__).resolve().parents[2]
RUNGS = ["labels", "response", "feature"]
# the recipe, its student, its primary figure, and a part of its data that is enough for a few steps
RECIPES: list[tuple[str, str, str | None, dict[str, Any]]] = [
    ("volume", "slices", None, {"labelled": {"count": 40, "per_batch": 8}}),
    ("sequence", "lstm", "auc", {"labelled": {"count": 40, "per_batch": 8}}),
    ("clip_conv_lstm", "clip-conv-lstm", "r1", {}),
]
NAMES = [name for name, *_ in RECIPES]


def recipe(name: str) -> Path:
    return ROOT / f"pipeline/recipes/{name}/recipe.yaml"


def written(folder: Path, content: dict[str, Any]) -> Path:
    """The recipe with its output in `folder`: a run that stands in the checkout must not decide a test."""
    (folder / "recipe.yaml").write_text(yaml.safe_dump({**content, "output": str(folder / "run")}))
    return folder / "recipe.yaml"


@pytest.mark.parametrize(("name", "use", "primary"), [row[:3] for row in RECIPES])
def test_rungs_are_one_student_with_one_kind_of_term_more_each(name: str, use: str, primary: str | None) -> None:
    config = load_config(recipe(name))
    students = {one.name: one for one in config.students}
    assert list(students) == [*RUNGS, "shuffled"] and {one.use for one in students.values()} == {use}
    assert len({(str(one.args), str(one.takes), str(one.optimizer)) for one in students.values()}) == 1
    terms = [set(students[rung].terms) for rung in RUNGS]
    assert terms[0] < terms[1] < terms[2] == set(students["shuffled"].terms)
    assert [one.control for one in students.values()] == ["labels-only", None, None, "shuffled-cache"]
    assert len(config.train.seeds) == 3 and config.evaluate.ladder is True and config.evaluate.primary == primary


@pytest.mark.parametrize("name", NAMES)
def test_held_out_samples_are_no_training_samples(name: str) -> None:
    evaluate = load_config(recipe(name)).evaluate
    held = [evaluate.source] if evaluate.source else list(evaluate.sets.values())
    assert all("train" not in Path(str(one.path)).name for one in held if one is not None)


@pytest.mark.slow  # four students take their first steps
@pytest.mark.parametrize("name", NAMES)
def test_the_file_passes_check(
    run: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.chdir(ROOT)
    content = yaml.safe_load(recipe(name).read_text())
    assert "ready: teachercache run" in run("check", written(tmp_path, content))


@pytest.mark.slow  # four trials and their evaluation
@pytest.mark.parametrize(("name", "primary", "train"), [(row[0], row[2], row[3]) for row in RECIPES])
def test_the_whole_recipe_runs_to_a_report_with_its_ladder(
    run: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    primary: str | None,
    train: dict[str, Any],
) -> None:
    monkeypatch.chdir(ROOT)
    content = yaml.safe_load(recipe(name).read_text())
    content["source"]["path"] = content["source"]["path"].replace("-*.tar", "-0000.tar")
    content["train"] |= {"steps": 6, "batch_size": 16, "seeds": [0]} | train
    run("run", written(tmp_path, content))
    report = json.loads((tmp_path / "run/report.json").read_text())
    assert [rung["student"] for rung in report["ladder"]["rungs"]] == RUNGS
    assert report["ladder"]["control"]["student"] == "shuffled" and report["verdict"]["outcome"] != "unknown"
    evaluation = json.loads((tmp_path / "run/students/feature/distilled/seed-0/evaluation.json").read_text())
    assert (primary or "top1") in evaluation["figures"]
