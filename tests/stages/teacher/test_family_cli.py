"""Families from the command line: a file without students asks for a cache alone, and a killed build goes on."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from teachercache.cache import open_cache

CAPTION = {"caption": {"kind": "json", "ext": ["json"]}}


@pytest.fixture
def write(tmp_path: Path, captioned: Path, teacher_folder: Callable[[str], Path]) -> Callable[..., Path]:
    """write(name of a teacher, signals): the YAML of a cache without students."""

    def make(name: str, signals: dict[str, Any], **sections: Any) -> Path:
        teacher = {"model": str(teacher_folder(name)), "device": "cpu", "batch_size": 4, "workers": 0}
        content = {
            "name": name,
            "output": str(tmp_path / name),
            "source": {"path": str(captioned / "*.tar"), "label": None, "fields": CAPTION},
            "views": {"size": 16},
            "teacher": teacher,
            "cache": {"block": 4, "signals": signals},
            **sections,
        }
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump(json.loads(json.dumps(content))))
        return file

    return make


SIGNALS: dict[str, dict[str, Any]] = {
    "clip": {"image_embeds": {}, "text_embeds": {}, "text.hidden.-1": {}, "text.attention.0": {"causal": True}},
    "bert": {"embedding": {}, "hidden.-1": {"codec": "int8"}, "attention.0": {"codec": "u8sqrt"}},
    "llama": {"hidden.-1": {}, "logits": {"reduce": "last", "codec": "topk", "k": 4}},
}


@pytest.mark.parametrize("name", list(SIGNALS))
def test_check_build_verify_and_inspect_know_the_family(
    write: Callable[..., Path], run: Callable[..., str], tmp_path: Path, name: str
) -> None:
    recipe = write(name, SIGNALS[name])
    assert "ready" in run("check", recipe) and not (tmp_path / name / "cache").exists()
    assert "2 shards, 10 rows" in run("cache", "build", recipe)
    assert "complete, 2 shards" in run("cache", "build", recipe)
    run("cache", "verify", recipe)
    said = json.loads(run("cache", "inspect", tmp_path / name / "cache", "--json"))
    assert said["rows"] == 10 and set(said["signals"]) == set(SIGNALS[name])
    assert "equal byte for byte" in run("cache", "verify", recipe, "--teacher", "6")


def test_a_file_without_students_is_refused_where_students_are_needed(
    write: Callable[..., Path], run: Callable[..., str]
) -> None:
    recipe = write("bert", SIGNALS["bert"])
    assert "students: this is required and missing" in run("train", recipe, code=2)


def test_a_build_that_was_killed_goes_on_to_an_equal_cache(
    write: Callable[..., Path], run: Callable[..., str], tmp_path: Path
) -> None:
    recipe = write("llama", SIGNALS["llama"])
    run("cache", "build", recipe)
    whole = open_cache(tmp_path / "llama" / "cache")
    rows = np.arange(whole.rows)
    expected = {name: whole.encoded(name, rows) for name in whole.signals}
    (tmp_path / "llama" / "cache").rename(tmp_path / "whole")
    child = subprocess.Popen(
        [sys.executable, "-m", "teachercache", "cache", "build", str(recipe)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while child.poll() is None and not list((tmp_path / "llama").glob("cache/receipts/*")):
        time.sleep(0.002)
    child.kill()
    child.wait()
    run("cache", "build", recipe)
    again = open_cache(tmp_path / "llama" / "cache")
    for name, parts in expected.items():
        for part, values in again.encoded(name, rows).items():
            np.testing.assert_array_equal(values, parts[part])


@pytest.mark.parametrize(
    ("name", "family", "points"),
    [
        ("clip", "clip", {"image_embeds": [16], "vision.hidden.2": [5, 24], "text.attention.1": [4, 12, 12]}),
        ("bert", "text-encoder", {"embedding": [32], "hidden.0": [12, 32], "qkv.1": [3, 4, 12, 8]}),
        ("llama", "causal-lm", {"logits": [12, 20], "attention.0": [4, 12, 12]}),
    ],
)
def test_describe_lists_the_points_of_a_model_with_shape_and_bytes(
    run: Callable[..., str],
    teacher_folder: Callable[[str], Path],
    write: Callable[..., Path],
    name: str,
    family: str,
    points: dict[str, list[int]],
) -> None:
    said, _ = json.JSONDecoder().raw_decode(run("teacher", "describe", teacher_folder(name), "--json"))
    found = {point["point"]: point for point in said["points"]}
    assert said["family"] == family
    for point, shape in points.items():
        assert found[point]["shape"] == shape, point
    assert found["hidden.0" if name != "clip" else "text.hidden.0"]["f16"] == 4 + 12 * 32 * 2
    assert all(point["bytes"] <= point["f16"] for point in found.values())
    signals = {point: {} for point in found if "qkv" not in point or name != "llama"}
    assert "ready" in run("check", write(name, signals))
    assert set(found) <= {word for word in run("teacher", "describe", write(name, signals), "--json").split('"')}


def test_describe_says_what_it_cannot_describe(run: Callable[..., str], tmp_path: Path) -> None:
    assert "neither a YAML file nor a model's folder" in run("teacher", "describe", tmp_path, code=2)
