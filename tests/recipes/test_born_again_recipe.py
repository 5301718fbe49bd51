"""The recipe `born_again` is three generations of one form, and an assistant between the teacher and a tiny student."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from teachercache.pipeline.config import load_config
from teachercache.pipeline.students.generations import generations

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "pipeline/recipes/born_again/recipe.yaml"


def test_each_generation_learns_from_the_one_before() -> None:
    config = load_config(RECIPE)
    parts = [{one.name for one in part.students} for part in generations(config)]
    assert parts == [{"first", "assistant", "direct"}, {"second", "assisted"}, {"third", "shuffled"}]
    assert {name: spec.student for name, spec in config.teachers.items()} == {
        "one": "runs/born-again/students/first/labels-only/seed-0",
        "two": "runs/born-again/students/second/distilled/seed-0",
        "middle": "runs/born-again/students/assistant/distilled/seed-0",
    }


def test_generations_are_of_one_form_and_only_the_first_hears_nobody() -> None:
    students = {one.name: one for one in load_config(RECIPE).students}
    rungs = [students[name] for name in ("first", "second", "third", "shuffled")]
    assert len({(one.use, str(one.args), str(one.optimizer), str(one.takes)) for one in rungs}) == 1
    assert [one.control for one in rungs] == ["labels-only", None, None, "shuffled-cache"]
    assert rungs[2].terms == rungs[3].terms and students["direct"].args == students["assisted"].args


@pytest.mark.slow  # seven students and their evaluation
def test_the_whole_recipe_runs_to_a_report_with_its_ladder(
    run: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    content = yaml.safe_load(RECIPE.read_text())
    content["output"] = str(tmp_path / "run")
    content["source"]["path"] = "data/samples/fashion-mnist/train-0000.tar"
    content["train"] |= {"steps": 10, "seeds": [0], "labelled": {"count": 60, "per_batch": 16}, "batch_size": 32}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
    run("run", tmp_path / "recipe.yaml")
    report = json.loads((tmp_path / "run/report.json").read_text())
    assert [rung["student"] for rung in report["ladder"]["rungs"]] == ["first", "second", "third"]
    assert report["ladder"]["control"]["student"] == "shuffled"
    gains = {one["student"]: one["gain"] for one in report["students"]}
    assert gains["second"] is not None and gains["third"] is not None
    assert gains["direct"] is None  # it is of another form than the student that learns from labels alone
