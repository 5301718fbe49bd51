"""`teachercache teacher report` on a small cache: the page, the figures, the list of suspects."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import yaml


def test_report_is_written_from_the_cache_alone(
    run: Callable[..., str],
    make_recipe: Callable[..., Path],
    tmp_path: Path,
) -> None:
    recipe = make_recipe()
    assert "teachercache cache build" in run("teacher", "report", recipe, code=2)
    run("cache", "build", recipe)
    run("teacher", "report", recipe, "--student", "0.5")
    folder = tmp_path / "run" / "teacher-report"
    content = json.loads((folder / "teacher.json").read_text())
    assert content["samples"] == 18 and content["labelled"] == 18 and len(content["per_class"]) == 10
    rows = list(csv.DictReader((folder / "suspects.csv").read_text().splitlines()))
    assert len(rows) == 18 and [float(row["score"]) for row in rows] == sorted(float(row["score"]) for row in rows)
    page = (folder / "teacher.html").read_text()
    assert "<script" not in page and "http" not in page.replace("http://www.w3.org", "") and "data:image/png" in page
    assert "has no signal 'embeding'" in run("teacher", "report", recipe, "--signal", "embeding", code=2)


def test_file_that_asks_for_a_cache_alone_has_a_report(
    run: Callable[..., str], make_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    recipe = make_recipe()
    content = yaml.safe_load(recipe.read_text())
    alone = {name: value for name, value in content.items() if name not in ("train", "students", "evaluate")}
    alone["views"]["operations"] = [{"op": "mixup", "p": 1.0}]
    recipe.write_text(yaml.safe_dump(alone))
    run("cache", "build", recipe)
    run("teacher", "report", recipe)
    folder = tmp_path / "run" / "teacher-report"
    content = json.loads((folder / "teacher.json").read_text())
    assert content["labelled"] == 18 and content["view_agreement"] == [1.0, None]  # mixed views have no one class
    assert 'class="label"' in (folder / "teacher.html").read_text()
