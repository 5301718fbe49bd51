"""The recipe `agent` is a fair ladder, its file passes `check`, and the whole of it runs (made short) to its report."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from teachercache.pipeline.config import load_config
from teachercache.stages.student.trial.arms import arm_course

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "pipeline/recipes/agent/recipe.yaml"
RUNGS = ["labels", "response", "feature", "relation", "phases"]


def test_rungs_differ_in_their_objective_alone_and_each_keeps_the_terms_of_the_one_before() -> None:
    students = {one.name: one for one in load_config(RECIPE).students}
    assert list(students) == [*RUNGS, "shuffled"]
    assert len({(one.use, str(one.args), str(one.takes), str(one.optimizer)) for one in students.values()}) == 1
    terms = [set(students[name].terms) for name in RUNGS]
    assert all(lower < higher for lower, higher in zip(terms, terms[1:], strict=False))
    assert students["shuffled"].phases == students["phases"].phases
    assert set(arm_course(students["labels"], "labels-only")[0].objective) == terms[0]


def test_held_out_canvases_are_no_training_canvases() -> None:
    config = load_config(RECIPE)
    names = [config.source.path, *(one.path for one in config.evaluate.sets.values())]
    assert [Path(name).name for name in names] == ["train-*.tar", "seen-*.tar", "unseen-*.tar"]


def test_the_file_passes_check(run: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert "ready: teachercache run" in run("check", RECIPE)


@pytest.mark.slow  # 18 trials less twelve, and two held-out sets
def test_the_whole_recipe_runs_to_a_report_with_its_ladder(
    run: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    content = yaml.safe_load(RECIPE.read_text())
    content["output"] = str(tmp_path / "run")
    content["source"]["path"] = "data/samples/agent/train-0000.tar"
    content["train"] = {"steps": 20, "batch_size": 16, "seeds": [0]}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
    run("run", tmp_path / "recipe.yaml")
    report = json.loads((tmp_path / "run/report.json").read_text())
    assert [rung["student"] for rung in report["ladder"]["rungs"]] == RUNGS
    assert report["ladder"]["control"]["student"] == "shuffled"
    assert set(report["ladder"]["rungs"][0]["values"]) == {"seen-style", "unseen-style"}
    assert report["verdict"]["outcome"] != "unknown" and all(one["parameters"] for one in report["ladder"]["rungs"])
