"""Machines that share a disk: listings that come late, clocks that are an hour off, two jobs on one cache."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from bench import Bench
from cluster import PATIENCE, until
from recipe import ROWS, write_recipe, write_shard

from teachercache.cache import open_cache
from teachercache.cache.keeping.verify import verify_cache
from teachercache.cache.storage.folder import FolderStore
from teachercache.cache.storage.store import Entry
from teachercache.pipeline.launching.attempt import VARIABLE, read_attempts

Run = Callable[..., str]
SHARDS = 3


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    for number in range(SHARDS):
        write_shard(tmp_path / "data" / f"train-{number}.tar", number)
    write_shard(tmp_path / "data" / "test-0.tar", 1000)
    return write_recipe(tmp_path, tmp_path / "data")


def receipts(cache: Path) -> dict[str, tuple[int, int]]:
    """Which file each receipt is, and when it was written."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in (cache / "receipts").iterdir()}


def assert_whole(cache: Path) -> None:
    found = open_cache(cache)
    assert found.missing() == () and verify_cache(found) == [] and found.rows == SHARDS * ROWS
    rows = found.read(np.arange(found.rows))
    assert len(set(zip(rows.ids.tolist(), rows.views.tolist(), strict=True))) == SHARDS * ROWS


def test_a_builder_whose_listing_is_late_finds_the_receipt_and_drops_its_own(
    run: Run, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client of a network disk that does not see yet what another machine has finished."""
    cache = tmp_path / "run" / "cache"
    run("cache", "build", recipe, "--part", "training")
    before, files = receipts(cache), sorted(path for path in (cache / "shards").rglob("*") if path.is_file())
    listed = FolderStore.entries

    def late(store: FolderStore, folder: str) -> Sequence[Entry]:
        return [] if folder == "receipts" else listed(store, folder)

    with monkeypatch.context() as patched:
        patched.setattr(FolderStore, "entries", late)
        said = run("cache", "build", recipe, "--part", "training", "--checked", "--shards", "0-1")
    assert "2 shards that another builder finished first" in said
    assert receipts(cache) == before
    assert sorted(path for path in (cache / "shards").rglob("*") if path.is_file()) == files
    assert_whole(cache)


def test_clocks_that_are_an_hour_off_decide_nothing(
    run: Run, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three machines build a shard each: one an hour ahead, one right, one an hour behind."""
    right = time.time
    for shard, hours in enumerate((1, 0, -1)):
        monkeypatch.setattr(time, "time", lambda hours=hours: right() + 3600 * hours)
        monkeypatch.setenv(VARIABLE, str(tmp_path / "attempts" / "cache-0"))
        run("cache", "build", recipe, "--part", "training", "--checked", "--shards", shard)
    assert_whole(tmp_path / "run" / "cache")
    attempts = read_attempts(tmp_path / "attempts")["cache-0"]
    assert [attempt.number for attempt in attempts] == [0, 1, 2]  # in the order of the starts, not of the clocks
    started = [attempt.content()["started"] for attempt in attempts]
    assert started == sorted(started, reverse=True)
    assert all(0 < attempt.content()["seconds"] < 600 for attempt in attempts)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_jobs_on_one_cache_end_with_every_row_once(recipe: Path, tmp_path: Path) -> None:
    """Two times the same command at the same time, two processes each, all in the middle of their work at once."""
    (tmp_path / "heard").mkdir()
    own = {"TEACHER_PACE": str(tmp_path / "teacher-pace"), "TEACHER_HEARD": str(tmp_path / "heard")}
    own["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    bench = Bench(tmp_path, recipe, {**os.environ, **own})
    recipe.write_text(recipe.read_text() + "\nlaunch: {engine: local, workers: 2}\n")
    bench.pace(rows=4)
    try:
        jobs = [bench.begin("cache", "build", recipe) for _ in range(2)]
        until(lambda: sum(len(file.read_text().split()) >= 4 for file in (tmp_path / "heard").iterdir()) == 4)
        bench.pace()
        for job in jobs:
            said = job.communicate(timeout=PATIENCE)[0]
            assert job.returncode == 0, said
    finally:
        bench.close()
    assert_whole(tmp_path / "run" / "cache")
    heard = bench.heard()
    assert sum(heard[shard] for shard in range(SHARDS)) > SHARDS * ROWS  # they did meet


@pytest.mark.slow
@pytest.mark.timeout(3600)  # fourteen starts of the program
def test_the_example_with_xargs_builds_what_it_says(tmp_path: Path) -> None:
    """The lines of docs/batch-jobs.md, as they stand there, with 100 shards of one sample."""
    text = (Path(__file__).parents[2] / "docs" / "batch-jobs.md").read_text(encoding="utf-8")
    lines = text.split("```bash\n", 1)[1].split("```", 1)[0]
    assert "xargs" in lines
    (tmp_path / "data").mkdir()
    for number in range(100):
        write_shard(tmp_path / "data" / f"train-{number:03d}.tar", number)
    write_shard(tmp_path / "data" / "test-0.tar", 1000)
    recipe = write_recipe(tmp_path, tmp_path / "data")
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "teachercache"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m teachercache "$@"\n')
    program.chmod(0o755)
    paths = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    paths["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        ["bash", "-c", lines], cwd=recipe.parent, env={**os.environ, **paths}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    cache = open_cache(tmp_path / "run" / "cache")
    assert cache.missing() == () and len(cache.shards) == 100 and cache.rows == 100 * ROWS
    assert open_cache(tmp_path / "run" / "cache-held-out").missing() == ()
