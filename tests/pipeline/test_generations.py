"""Students that teach students: one file, walked generation by generation, and refused where a link does not hold."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from teachercache.cache import open_cache
from teachercache.pipeline.config import load_config
from teachercache.pipeline.students.generations import generations
from teachercache.stages.student.files.saved import load_student, read_student
from teachercache.stages.student.inputs.images import prepare_views

CNN = {"use": "cnn", "args": {"widths": [4, 8]}, "input": {"size": 14, "mean": [0.3], "std": [0.4]}}


def taught_by(signal: str, **more: Any) -> dict[str, Any]:
    return {**CNN, **more, "objective": [{"loss": "cross_entropy"}, {"loss": "kl", "signal": signal}]}


def chain(make_recipe: Callable[..., Path], **changes: Any) -> Path:
    """Labels alone, then a student of the first, then one of the second."""
    recipe = make_recipe(
        teachers={name: {"student": name, "workers": 0, "device": "cpu"} for name in ("first", "second")},
        cache={"block": 8, "signals": {"logits": {}, "first.logits": {"codec": "f32"}, "second.logits": {}}},
        students=[
            taught_by("second.logits", name="third"),  # the order of the file does not matter
            taught_by("logits", name="first", control="labels-only"),
            taught_by("first.logits", name="second"),
        ],
        **changes,
    )
    content = yaml.safe_load(recipe.read_text())
    content["views"]["keep_pixels"] = True
    content["train"].pop("controls")
    recipe.write_text(yaml.safe_dump(content))
    return recipe


@pytest.fixture
def edited(make_recipe: Callable[..., Path]) -> Callable[[Callable[[dict[str, Any]], None]], Path]:
    def edit(change: Callable[[dict[str, Any]], None]) -> Path:
        recipe = chain(make_recipe)
        content = yaml.safe_load(recipe.read_text())
        change(content)
        recipe.write_text(yaml.safe_dump(content))
        return recipe

    return edit


def test_generations_are_in_the_order_in_which_they_can_be_trained(make_recipe: Callable[..., Path]) -> None:
    parts = generations(load_config(chain(make_recipe)))
    assert [[one.name for one in part.students] for part in parts] == [["first"], ["second"], ["third"]]
    kept = [{"logits"}, {"logits", "first.logits"}, {"logits", "first.logits", "second.logits"}]
    assert [set(part.cache.signals) for part in parts] == kept


def test_a_link_teaches_what_it_says_and_is_refused_when_it_changed(
    run: Callable[..., str], make_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    recipe = chain(make_recipe)
    assert "teachers.first: its student is not trained" in run("cache", "build", recipe)
    assert "holds less than the configuration asks for" in run("train", recipe, code=2)  # after `first`
    run("cache", "build", recipe)
    folder = tmp_path / "run/students/first/labels-only/seed-0"
    cache = open_cache(tmp_path / "run/cache")
    rows = cache.read(np.arange(cache.rows), ["pixels", "first.logits"]).signals
    taken = read_student(folder).student.takes["pixel_values"].image
    assert taken is not None and taken.size == 14
    with torch.inference_mode():
        seen = prepare_views(torch.from_numpy(np.asarray(rows["pixels"])), taken)
        logits = load_student(folder)({"pixel_values": seen})["logits"]
    np.testing.assert_allclose(rows["first.logits"], logits.numpy(), atol=1e-5)

    weights = {name: tensor.clone() for name, tensor in load_file(folder / "student.safetensors").items()}
    next(tensor for tensor in weights.values() if tensor.is_floating_point()).add_(0.01)
    save_file(weights, folder / "student.safetensors")
    for verb in ("run", "train", "report"):
        assert "teachers.first: first" in run(verb, recipe, code=2)


@pytest.mark.slow  # evaluation measures each student in a process of its own
def test_a_chain_runs_to_its_report_and_does_nothing_twice(
    run: Callable[..., str], make_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    recipe = chain(make_recipe)
    assert "generation 3 of 3" in run("run", recipe)
    report = json.loads((tmp_path / "run/report.json").read_text())
    assert {one["student"] for one in report["students"]} == {"first", "second", "third"}
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("student.safetensors")}
    assert "trained 2 of 2 trials" in run("run", recipe) and len(before) == 6
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("student.safetensors")}


def test_what_is_no_chain_is_refused(
    run: Callable[..., str], edited: Callable[[Callable[[dict[str, Any]], None]], Path]
) -> None:
    def circle(content: dict[str, Any]) -> None:
        content["students"][1] = taught_by("second.logits", name="first")

    def typo(content: dict[str, Any]) -> None:
        content["teachers"]["first"]["student"] = "frist"

    def itself(content: dict[str, Any]) -> None:
        content["teacher"] = {"student": "first"}

    assert "teach each other in a circle" in run("run", edited(circle), code=2)
    assert "did you mean first?" in run("run", edited(typo), code=2)
    assert "teacher.student: first is a student of this file" in run("run", edited(itself), code=2)
    assert "generations follow one another" in run("run", edited(lambda _: None), "--launch", "local", code=2)


def test_check_tries_what_can_be_tried_of_a_chain(run: Callable[..., str], make_recipe: Callable[..., Path]) -> None:
    said = run("check", chain(make_recipe))
    assert "3 generations" in said and "teachers.first is a student that is not trained yet" in said and "ready" in said


def test_a_student_of_another_run_is_a_teacher_wherever_it_lies(
    run: Callable[..., str], make_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    recipe = chain(make_recipe)
    content = yaml.safe_load(recipe.read_text())

    def build(code: int = 0, **changes: Any) -> str:
        alone = {name: it for name, it in content.items() if name not in ("teachers", "students", "train", "evaluate")}
        file = tmp_path / "alone.yaml"
        file.write_text(yaml.safe_dump({**alone, **changes}))
        return run("cache", "build", file, code=code)

    run("cache", "build", recipe)
    run("train", recipe, code=2)  # `first` is trained
    trial = tmp_path / "run/students/first/labels-only/seed-1"
    next_cache = {"output": str(tmp_path / "next"), "cache": {"signals": {"logits": {}, "embedding": {}}}}
    build(teacher={"student": str(trial)}, **next_cache)
    fingerprint = open_cache(tmp_path / "next/cache").manifest.fingerprint
    assert fingerprint["teacher"]["family"] == "student" and str(tmp_path) not in json.dumps(fingerprint)
    moved = {"student": str(trial.rename(tmp_path / "moved"))}
    assert "complete, 3 shards" in build(teacher=moved, **next_cache)
    assert "embedding" in run("teacher", "describe", tmp_path / "alone.yaml")

    other = {"output": str(tmp_path / "other"), "cache": {"signals": {"logits": {}}}}
    above = {"student": str(tmp_path / "run/students/first")}
    assert "labels-only/seed-0: name one of them" in build(2, teacher=above, **other)
    assert "leave this out" in build(2, teacher={**moved, "inputs": {"image": "image"}}, **other)
    assert "one of the three" in build(2, teacher={**moved, "model": "x"}, **other)
    assert "no output 'logit', did you mean 'logits'?" in build(
        2, teacher=moved, **other | {"cache": {"signals": {"logit": {}}}}
    )
    grey = {**content["views"], "channels": 3}
    assert "trained on views of size 28 with channels 1" in build(2, teacher=moved, views=grey, **other)
