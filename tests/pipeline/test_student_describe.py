"""`teachercache student describe` on a real recipe, with a student cut from its teacher, before there is a cache."""

import json
from collections.abc import Callable
from pathlib import Path

import yaml

RECIPE = Path(__file__).parents[2] / "pipeline" / "recipes" / "image_vit" / "recipe.yaml"


def recipe(folder: Path) -> Path:
    """The recipe with a student that is cut from its teacher, beside the small CNN; nothing was run."""
    settings = yaml.safe_load(RECIPE.read_text("utf-8"))
    settings |= {"output": str(folder / "run")}
    settings["students"] = [
        {"name": "cnn", "use": "cnn", "objective": [{"loss": "cross_entropy"}]},
        {"name": "cut", "use": "teacher", "args": {"layers": 2}, "objective": [{"loss": "cross_entropy"}]},
    ]
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def test_students_are_described_before_anything_ran(run: Callable[..., str], tmp_path: Path) -> None:
    found = json.loads(run("student", "describe", recipe(tmp_path), "--json"))
    cnn, cut = found
    assert (cnn["name"], cnn["model"], cnn["signals"]) == ("cnn", "Cnn", [])
    assert cut["model"] == "ViTForImageClassification" and cut["fresh"] == []
    assert "hidden.2" in cut["outputs"] and "hidden.3" not in cut["outputs"]
    assert cut["macs"] > cnn["macs"] > 0


def test_one_student_is_described_as_a_table(run: Callable[..., str], tmp_path: Path) -> None:
    said = run("student", "describe", recipe(tmp_path), "cut")
    assert "cut: outputs" in said and "cnn" not in said
    assert "has no such student; did you mean cut?" in run("student", "describe", recipe(tmp_path), "cutt", code=2)
