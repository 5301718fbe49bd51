"""A whole run against an S3 server: cache, held-out cache and samples lie there. And builds that are killed there."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml

from teachercache.cache import open_cache
from teachercache.cache.remote.client import client_of
from teachercache.cache.storage.address import open_store

TESTS = Path(__file__).parents[1]


def load(name: str, path: Path) -> ModuleType:
    """Import a file that is no module of a package."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pipeline = load("pipeline_conftest", TESTS / "pipeline" / "conftest.py")
small_teacher, make_recipe = pipeline.small_teacher, pipeline.make_recipe


def upload(folder: Path, address: str) -> None:
    for path in folder.glob("*.tar"):
        client_of(address).upload(path.name, path)


@pytest.fixture
def recipes(make_recipe: Callable[..., Path], address: str, tmp_path: Path) -> tuple[Path, Path]:
    """The same run twice: with everything in a store, and with everything in folders."""
    small = {"steps": 2, "batch_size": 8, "seeds": [0], "device": "cpu"}
    near = make_recipe(train=small)
    upload(tmp_path / "data", f"{address}-data")
    content: dict[str, Any] = yaml.safe_load(near.read_text())
    content["output"] = str(tmp_path / "far")
    content["source"]["path"] = f"{address}-data/train-{{0..2}}.tar"
    content["evaluate"]["source"]["path"] = f"{address}-data/test-*.tar"
    content["cache"]["path"] = address
    content["teacher"]["workers"] = 1  # a forked process, in which the libraries' threads do not live
    far = tmp_path / "far.yaml"
    far.write_text(yaml.safe_dump(content))
    return far, near


def test_a_run_in_a_store_is_the_run_in_folders(
    recipes: tuple[Path, Path], run: Any, address: str, tmp_path: Path, gate: Any
) -> None:
    far, near = recipes
    for command in (("run", str(far)), ("cache", "build", str(near)), ("train", str(near))):
        run(*command)
    for suffix in ("", "-held-out"):
        here, there = open_cache(tmp_path / "run" / f"cache{suffix}"), open_cache(f"{address}{suffix}")
        assert there.manifest.fingerprint == here.manifest.fingerprint and there.missing() == ()
        for name in here.signals:
            for part, expected in here.encoded(name, np.arange(here.rows)).items():
                np.testing.assert_array_equal(there.encoded(name, np.arange(here.rows))[part], expected)
    trained = [sorted((tmp_path / output / "students").rglob("*.safetensors")) for output in ("far", "run")]
    assert [path.name for path in trained[0]] == [path.name for path in trained[1]] != []
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(*trained, strict=True))
    assert not (tmp_path / "far" / "cache").exists() and (tmp_path / "far" / "report.html").exists()

    run("cache", "verify", address)
    assert address in run("cache", "inspect", far, "--json")

    gate.requests.clear()
    run("cache", "build", far)
    assert not [path for path in gate.asked("PUT") if "receipts/" in path or "shards/" in path and "zarr" not in path]
    store = open_store(address)
    store.move("receipts/train-1.json", "receipts/aside.json")
    assert "1 of 3 shards are missing (train-1)" in run("train", far, code=2)
    run("cache", "build", far)
    assert open_cache(address).missing() == ()


def test_a_lost_store_ends_a_command_in_one_line(recipes: tuple[Path, Path], run: Any, gate: Any) -> None:
    far, _ = recipes
    gate.shut()
    assert "does not answer" in run("cache", "build", far, code=2)


@pytest.mark.slow
def test_builds_that_are_killed_leave_a_cache_like_an_undisturbed_one(
    address: str, tmp_path: Path, mirror: Path, held_bytes: Callable[[Path], int]
) -> None:
    kills = load("kills", TESTS / "crash" / "test_kills.py")
    kills.make_images(tmp_path / "images")
    kills.make_teacher(tmp_path / "teacher")
    upload(tmp_path / "images", f"{address}-images")
    crash = TESTS / "crash"
    command = [sys.executable, str(crash / "killing.py"), str(crash / "killed_build.py"), "4", "0"]
    command += [address, f"{address}-images", str(tmp_path / "teacher")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "killed 4" in done.stdout
