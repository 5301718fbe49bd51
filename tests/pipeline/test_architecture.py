"""`teachercache student search`: shapes are chosen, trained, judged and written down; killed, it goes on."""

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from teachercache.pipeline.architecture.search import search_folder, search_shapes
from teachercache.pipeline.config import load_config
from teachercache.stages.errors import Interrupted

MakeRecipe, Run = Callable[..., Path], Callable[..., str]
OPTUNA = pytest.mark.skipif(find_spec("optuna") is None, reason="needs Optuna (the extra `sweep`)")
SEARCH: dict[str, Any] = {
    "student": "cnn",
    "parameters": {"args.widths": [[2], [2, 4], [4, 6], [900], [-1]], "args.separable": [True, False]},
    "trials": 8,
    "together": 4,
    "limits": {"parameters": 5000},
    "sampler": "random",
}


@pytest.fixture
def recipe(make_recipe: MakeRecipe, run: Run) -> Callable[..., Path]:
    """A recipe with a search whose caches are built."""

    def make(**changes: Any) -> Path:
        student = {"name": "cnn", "use": "cnn", "args": {"widths": [4, 8]}, "objective": [{"loss": "cross_entropy"}]}
        found = make_recipe(students=[student], architecture={**SEARCH, **changes})
        run("cache", "build", found)
        return found

    return make


@OPTUNA
def test_a_search_ends_with_a_front_and_a_configuration_that_runs(recipe: Callable[..., Path], run: Run) -> None:
    path = recipe()
    said = run("student", "search", path)
    folder = Path(load_config(path).output) / "architecture"
    found = json.loads((folder / "architecture.json").read_text())
    outcomes = {tuple(one["values"]["args.widths"]): one["outcome"] for one in found["shapes"]}
    assert len(found["shapes"]) == 8 and "finished" in outcomes.values()
    assert outcomes.get((900,), "too-costly") == "too-costly" and outcomes.get((-1,), "failed") == "failed"
    assert {"too-costly", "failed"} & set(outcomes.values())
    assert all(one["costs"]["latency_ms"] > 0 for one in found["shapes"] if one["outcome"] == "finished")
    assert found["front"] and f"8 shapes, {len(found['front'])} on the front" in said
    page = (folder / "architecture.html").read_text()
    assert all(name in page for name in found["front"]) and "<script" not in page
    assert sorted(one.stem for one in (folder / "front").iterdir()) == sorted(found["front"])
    chosen = load_config(folder / "front" / f"{found['front'][0]}.yaml")
    [student] = chosen.students
    values = next(one["values"] for one in found["shapes"] if one["name"] == student.name)
    assert student.args["widths"] == values["args.widths"] and student.args["separable"] == values["args.separable"]
    run("train", folder / "front" / f"{found['front'][0]}.yaml")  # on the caches that there are
    assert (chosen.run / "students" / student.name / "distilled" / "seed-0" / "student.json").exists()
    assert not (chosen.run / "cache").exists()
    again = run("student", "search", path, "--json")
    assert [one["name"] for one in json.loads(again)] == found["front"]


@OPTUNA
@pytest.mark.slow
def test_a_search_that_was_interrupted_finds_the_same(recipe: Callable[..., Path]) -> None:
    settings = {"parameters": {"args.widths": [[2], [2, 4], [4, 6], [3, 3]]}, "trials": 6, "together": 3}
    config = load_config(recipe(**settings))
    whole = search_shapes(config, lambda: False, lambda _: None)
    shutil.rmtree(search_folder(config))
    asked = 0
    for batches in (2, 3):
        seen = iter(range(batches))
        with pytest.raises(Interrupted):
            search_shapes(config, lambda seen=seen: next(seen, None) is None, lambda _: None)  # type: ignore[misc]
        asked += 1
    found = search_shapes(config, lambda: False, lambda _: None)
    assert asked == 2 and len(whole) == 6
    assert [(one.name, one.values, one.outcome, one.figure) for one in found] == [
        (one.name, one.values, one.outcome, one.figure) for one in whole
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"student": "cn"}, "architecture.student: no student is named 'cn'; did you mean cnn?"),
        ({"parameters": {"arg.widths": [[1]]}}, "architecture.parameters.arg.widths: a student has no 'arg'"),
        ({"parameters": {"name": ["a"]}}, "architecture.parameters.name: this is what a shape is known by"),
        ({"judged_on": "other"}, "architecture.judged_on: there is no held-out set 'other'"),
        ({"seeds": 3}, "architecture.seeds: 3 of 2 train.seeds cannot be taken"),
    ],
)
def test_a_search_for_what_there_is_not_is_refused(
    make_recipe: MakeRecipe, run: Run, change: dict[str, Any], said: str
) -> None:
    assert said in run("student", "search", make_recipe(architecture={**SEARCH, **change}), code=2)


def test_a_search_needs_its_section_and_optuna(
    make_recipe: MakeRecipe, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "architecture: the configuration has no such section" in run("student", "search", make_recipe(), code=2)
    path = make_recipe(architecture=SEARCH)
    run("cache", "build", path)
    monkeypatch.setattr("teachercache.stages.deploy.architecture.study.find_spec", lambda name: None)
    assert "pip install 'teachercache[sweep]'" in run("student", "search", path, code=2)


@OPTUNA
@pytest.mark.slow
def test_a_search_goes_on_with_more_trials_and_with_no_other_settings(recipe: Callable[..., Path], run: Run) -> None:
    path = recipe(trials=2, together=2, parameters={"args.widths": [[2], [3], [4]]})
    run("student", "search", path)
    content = yaml.safe_load(path.read_text())
    content["architecture"]["trials"] = 3
    path.write_text(yaml.safe_dump(content))
    assert "searched 3 shapes" in run("student", "search", path)
    content["train"]["steps"] = 4
    path.write_text(yaml.safe_dump(content))
    assert "this search was begun with other settings (train)" in run("student", "search", path, code=2)
