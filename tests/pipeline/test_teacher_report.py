"""`teachercache teacher report` on a small cache: the page, the figures, the list of suspects."""

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from teachercache.pipeline.cli import main


def run(monkeypatch: pytest.MonkeyPatch, *args: object) -> int:
    monkeypatch.setattr(sys, "argv", ["teachercache", *map(str, args)])
    with pytest.raises(SystemExit) as left:
        main()
        sys.exit(0)
    return int(left.value.code or 0)


def test_report_is_written_from_the_cache_alone(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    make_recipe: Callable[..., Path],
    tmp_path: Path,
) -> None:
    recipe = make_recipe()
    assert run(monkeypatch, "teacher", "report", recipe) == 2
    assert "teachercache cache build" in " ".join(capsys.readouterr().err.split())
    assert run(monkeypatch, "cache", "build", recipe) == 0
    assert run(monkeypatch, "teacher", "report", recipe, "--student", "0.5") == 0
    folder = tmp_path / "run" / "teacher-report"
    content = json.loads((folder / "teacher.json").read_text())
    assert content["samples"] == 18 and content["labelled"] == 18 and len(content["per_class"]) == 10
    rows = list(csv.DictReader((folder / "suspects.csv").read_text().splitlines()))
    assert len(rows) == 18 and [float(row["score"]) for row in rows] == sorted(float(row["score"]) for row in rows)
    page = (folder / "teacher.html").read_text()
    assert "<script" not in page and "http" not in page.replace("http://www.w3.org", "") and "data:image/png" in page
    assert run(monkeypatch, "teacher", "report", recipe, "--signal", "embeding") == 2
    assert "has no signal 'embeding'" in " ".join(capsys.readouterr().err.split())
