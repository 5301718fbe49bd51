"""A checkpoint answers with the names of its run's classes, as its export does; with numbers where those may err."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from teachercache.cache import open_cache
from teachercache.cache.format.manifest import Manifest
from teachercache.cache.format.schema import SignalSchema
from teachercache.cache.opening import create_cache
from teachercache.stages.deploy.evaluation.candidate import read_candidate
from teachercache.stages.deploy.export.facts import collect_facts
from teachercache.stages.deploy.predict.open import open_model

NAMES = ("ant", "bee", "cat", "dog", "elk", "fox", "gnu")


@pytest.fixture
def student(save: Callable[..., Path], tmp_path: Path) -> Path:
    """A finished student of seven classes in a run's folder, which has no cache yet."""
    return save(tmp_path / "run" / "students")


def write_cache(run_folder: Path, names: tuple[str, ...]) -> None:
    schemas = {"logits": SignalSchema("logits", "f32", {}, (7,))}
    create_cache(run_folder / "cache", Manifest({"signals": {}}, schemas, ("s",), 1, 4, classes=names))


def test_a_checkpoint_names_classes_as_its_export_does(run: Callable[..., str], student: Path, tmp_path: Path) -> None:
    write_cache(tmp_path / "run", NAMES)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    (found,) = json.loads(run("predict", student, tmp_path / "a.png", "--json", "--top", 7))
    assert [one["name"] for one in found["classes"]] == [NAMES[one["number"]] for one in found["classes"]]
    assert collect_facts(read_candidate(student), open_cache(tmp_path / "run" / "cache")).labels == NAMES
    assert open_model(student).classes == NAMES


@pytest.mark.parametrize("names", [None, (), NAMES[:6], (*NAMES, "hen")])
def test_names_that_are_not_those_of_the_student_are_not_said(
    names: tuple[str, ...] | None, student: Path, tmp_path: Path
) -> None:
    if names is not None:
        write_cache(tmp_path / "run", names)
    assert open_model(student).classes == ()


def test_a_broken_cache_or_one_of_another_place_gives_no_names(student: Path, tmp_path: Path) -> None:
    write_cache(tmp_path / "run", NAMES)
    moved = tmp_path / "run" / "kept" / "cnn" / "distilled" / "seed-0"
    shutil.copytree(student, moved)
    assert open_model(moved).classes == ()
    (tmp_path / "run" / "cache" / "manifest.json").write_text("{")
    assert open_model(student).classes == ()
