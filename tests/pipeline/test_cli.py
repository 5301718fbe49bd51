"""The command line as a user meets it: every verb, its exit code, and that nothing is done twice."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from teachercache.cache import open_cache

MakeRecipe = Callable[..., Path]


class Run(Protocol):
    """Run the command line in this process; everything it printed, on one line."""

    def __call__(self, *args: object, code: int = 0) -> str: ...


def stamps(folder: Path) -> dict[Path, int]:
    """When each file was last written; the report and locks, which every run writes, left out."""
    skip = ("report.json", "report.html", ".lock")
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file() and p.name not in skip}


def test_run_does_everything_and_a_second_run_nothing(run: Run, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe()
    said = run("run", recipe)
    assert "3 shards, 36 rows" in said and "trained 6 of 6 trials" in said and "report.html" in said
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert {(row["student"], row["arm"]) for row in report["students"]} == {
        ("cnn", "distilled"),
        ("cnn", "labels-only"),
        ("cnn", "shuffled-cache"),
    }
    before = stamps(tmp_path / "run")
    said = run("run", recipe)
    assert "complete, 3 shards" in said and "evaluated 0 students on 12 samples, 6 stood already" in said
    assert stamps(tmp_path / "run") == before


def test_the_stages_one_by_one(run: Run, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe()
    assert "ready" in (said := run("check", recipe)) and "student cnn:" in said and "36 rows x" in said
    assert not (tmp_path / "run").exists()
    assert "teachercache cache build" in run("train", recipe, code=2)
    run("cache", "build", recipe, "--shards", "1")
    assert open_cache(tmp_path / "run" / "cache").shards == ("train-1",)
    assert "2 of 3 shards are missing (train-0, train-2)" in run("train", recipe, code=2)
    run("cache", "build", recipe)
    assert "logits" in run("cache", "inspect", recipe)
    found = json.loads(run("cache", "inspect", tmp_path / "run" / "cache", "--json"))
    assert found["rows"] == 36 and found["shards"] == {"complete": 3, "missing": []}
    assert "did you mean cnn" in run("train", recipe, "--student", "cn", code=2)
    run("train", recipe, "--student", "cnn")
    run("evaluate", recipe)
    assert "top-1" in run("report", recipe)


def test_verify_names_a_flipped_byte_and_build_makes_the_shard_again(
    run: Run, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe, root = make_recipe(), tmp_path / "run" / "cache"
    run("cache", "build", recipe)
    assert "3 shards are whole" in run("cache", "verify", recipe)
    file = root / open_cache(root).receipts["train-1"].folder / "logits/values/c/0/0"
    whole = file.read_bytes()
    file.write_bytes(whole[:50] + bytes([whole[50] ^ 4]) + whole[51:])
    said = run("cache", "verify", root, code=1)
    assert "damaged shard train-1" in said and "damaged in one place" in said
    assert "taken out of use: train-1" in run("cache", "repair", root)
    assert "1 shard, 12 rows" in run("cache", "build", recipe)
    assert "3 shards are whole" in run("cache", "verify", recipe)
    again = root / open_cache(root).receipts["train-1"].folder / "logits/values/c/0/0"
    assert again.read_bytes() == whole


def test_a_changed_configuration_is_refused_naming_what_changed(run: Run, make_recipe: MakeRecipe) -> None:
    run("cache", "build", make_recipe())
    other = make_recipe(views={"count": 2, "size": 28, "channels": 1, "seed": 5})
    assert "views.seed: the cache has 0, the configuration asks for 5" in run("cache", "build", other, code=2)
    assert "views.seed" in run("train", other, code=2)


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"teacher": {"model": "nowhere"}}, "set teacher.revision"),
        ({"source": {"path": "nowhere/*.tar"}}, "nowhere"),
        ({"cache": {"signals": {"logit": {}}}}, "logits"),
        ({"train": {"steps": 3, "batch_size": 8, "labelled": {"count": 99, "per_batch": 4}}}, "only 18 samples"),
        (
            {
                "students": [
                    {
                        "name": "a",
                        "use": "cnn",
                        "objective": [{"loss": "cross_entropy"}, {"loss": "kl", "signal": "top"}],
                    }
                ]
            },
            "no signal 'top'",
        ),
        ({"students": [{"name": "a", "use": "nope.mod:f", "objective": [{"loss": "cross_entropy"}]}]}, "nope"),
    ],
)
def test_check_says_what_to_change(run: Run, make_recipe: MakeRecipe, sections: dict[str, object], said: str) -> None:
    assert said in run("check", make_recipe(**sections), code=2)


def test_check_prunes_in_its_few_steps_and_refuses_too_few_of_the_training(run: Run, make_recipe: MakeRecipe) -> None:
    pruned = {"name": "half", "use": "cnn", "prune": {"to": 0.5, "steps": 4}, "objective": [{"loss": "cross_entropy"}]}
    train = {"batch_size": 8, "labelled": {"count": 9, "per_batch": 4}}
    assert "ready" in run("check", make_recipe(students=[pruned], train={**train, "steps": 40}))
    said = run("check", make_recipe(students=[pruned], train={**train, "steps": 4}), code=2)
    assert "students.half.prune: 4 steps are too few to prune 4 times" in said


def test_a_held_out_sample_that_is_trained_on_is_refused(run: Run, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe(evaluate={"source": {"path": str(tmp_path / "data" / "train-1.tar")}})
    assert "is also in source" in run("cache", "build", recipe, code=2)


def test_classes_in_another_order_are_refused(
    run: Run, make_recipe: MakeRecipe, tmp_path: Path, small_teacher: Path
) -> None:
    import shutil

    teacher = shutil.copytree(small_teacher, tmp_path / "teacher")
    names = [f"class {letter}" for letter in "abcdefghij"]
    settings = json.loads((teacher / "config.json").read_text())
    settings |= {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    (teacher / "config.json").write_text(json.dumps(settings))
    (train, test), wrong = [str(tmp_path / "data" / f"{part}-*.tar") for part in ("train", "test")], names[::-1]
    model = {"model": str(teacher), "device": "cpu", "workers": 0}

    def recipe(ours: list[str], theirs: list[str]) -> Path:
        evaluate = {"source": {"path": test, "classes": theirs}, "latency_runs": 5, "latency_batches": [1]}
        return make_recipe(teacher=model, source={"path": train, "classes": ours}, evaluate=evaluate)

    for verb in (("check",), ("cache", "build"), ("run",)):
        assert "'class j' in the source and 'class a' for the teacher" in run(*verb, recipe(wrong, wrong), code=2)
        assert "class 0 is 'class a' in source and 'class j' in" in run(*verb, recipe(names, wrong), code=2)
    assert not (tmp_path / "run" / "cache").exists()
    run("cache", "build", recipe(names, names))
    assert "'class j' in the source and 'class a' for the cache" in run("train", recipe(wrong, names), code=2)
    assert "evaluate.source.classes: class 0" in run("evaluate", recipe(names, wrong), code=2)


def test_init_writes_a_file_that_loads_and_a_schema(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "new" / "recipe.yaml"
    run("init", file)
    schema = json.loads((tmp_path / "new" / "teachercache.schema.json").read_text())
    assert file.read_text().startswith("# yaml-language-server: $schema=teachercache.schema.json")
    assert "students" in schema["properties"]
    assert "is there already" in run("init", file, code=2)


def test_two_builders_at_once_make_one_whole_cache(run: Run, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe()
    command = [sys.executable, "-m", "teachercache", "cache", "build", str(recipe)]
    builders = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    said = [builder.communicate() for builder in builders]
    assert [builder.returncode for builder in builders] == [0, 0], said
    assert "3 shards are whole" in run("cache", "verify", recipe)
    root = tmp_path / "run" / "cache"
    assert len([path for path in (root / "shards").iterdir() if path.is_dir()]) == 3


def test_sigterm_ends_training_with_75_and_the_same_command_finishes_it(
    run: Run, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    train = {"steps": 400, "batch_size": 8, "seeds": [0], "device": "cpu", "log_every": 1, "checkpoint_every": 1000}
    recipe = make_recipe(train=train)
    run("cache", "build", recipe)
    command = [sys.executable, "-m", "teachercache", "train", str(recipe)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    history = tmp_path / "run/students/cnn/distilled/seed-0/history.jsonl"
    deadline = time.monotonic() + 120
    while not (history.exists() and history.read_text().count("\n") > 3) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate()
    assert process.returncode == 75, out + err
    assert "the same command continues" in err
    run("train", recipe)
    steps = [json.loads(line)["step"] for line in history.read_text().splitlines()]
    assert steps == list(range(1, 401))


def test_training_needs_nothing_of_the_teacher(
    run: Run, make_recipe: MakeRecipe, tmp_path: Path, small_teacher: Path
) -> None:
    import shutil

    teacher = tmp_path / "teacher"
    shutil.copytree(small_teacher, teacher)
    recipe = make_recipe(teacher={"model": str(teacher), "device": "cpu", "workers": 0})
    run("cache", "build", recipe)
    shutil.rmtree(teacher)
    code = (
        "import sys; from pathlib import Path\n"
        "from teachercache.pipeline.config import load_config\n"
        "from teachercache.pipeline.students.training import train_students\n"
        f"train_students(load_config(Path({str(recipe)!r})), lambda: False)\n"
        "found = {m for m in sys.modules if m.startswith('teachercache.stages.teacher')}\n"
        "assert found <= {'teachercache.stages.teacher', 'teachercache.stages.teacher.spec'}, found\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


IMAGE_MODULE = """
import torch
from torch import nn

def pictures(classes):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 16), nn.ReLU(), nn.Linear(16, classes))
"""


def test_a_module_of_ones_own_teaches_students_from_samples_to_report(
    make_recipe: MakeRecipe, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "picture_teachers.py").write_text(IMAGE_MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    teacher = {"use": "picture_teachers:pictures", "args": {"classes": 10}, "inputs": {"input": "image"}}
    settings = {"device": "cpu", "batch_size": 8, "workers": 0}
    objective = [{"loss": "kl", "signal": "logits"}]
    students = [{"name": "cnn", "use": "cnn", "args": {"widths": [4, 8]}, "objective": objective}]
    train = {"steps": 2, "batch_size": 8, "controls": [], "device": "cpu", "log_every": 1}
    recipe = make_recipe(
        teacher={**teacher, **settings},
        cache={"block": 8, "signals": {"logits": {}, "features": {"point": "2"}}},
        students=students,
        train=train,
    )
    assert "ready" in run("check", recipe)
    run("run", recipe)
    cache = open_cache(tmp_path / "run" / "cache")
    assert cache.manifest.signals["features"].shape == (16,) and len(cache.manifest.classes) == 10
    evaluation = json.loads((tmp_path / "run" / "teacher" / "evaluation.json").read_text())
    assert evaluation["latency"]["1"]["p50_ms"] > 0 and "unmeasured" not in evaluation
