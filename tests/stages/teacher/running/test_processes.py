"""Several processes build one cache, and stop or fail without leaving a mess. On a GPU each has a device of its own."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from teachercache.cache import open_cache
from teachercache.stages.errors import Interrupted, StageError, StageFailed
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache
from teachercache.stages.teacher.running.devices import teacher_devices
from teachercache.stages.teacher.running.processes import Fault, _raise_faults
from teachercache.stages.teacher.running.stopped import Stopped
from teachercache.stages.teacher.spec import TeacherSpec

MakeJob = Callable[..., CacheJob]
LOGITS = {"logits": {"codec": "f32"}}


def test_two_processes_build_what_one_builds_and_one_that_fails_is_named_with_its_shard(
    make_job: MakeJob, images: Path, tmp_path: Path
) -> None:
    one = make_job(root=tmp_path / "one", signals=LOGITS)
    build_cache(one)
    bad = images / "train-1.tar"
    whole = bad.read_bytes()
    start = whole.index(b"IDAT") + 4
    bad.write_bytes(whole[:start] + bytes(36) + whole[start + 36 :])  # the pixels of its one image; the tar is whole
    job = make_job(devices=2, workers=1, signals=LOGITS)
    seen: list[tuple[int, int]] = []
    with pytest.raises(StageError, match=r"1 of 2 processes failed; .* on cpu, shard train-1: .*1-0"):
        build_cache(job, progress=lambda done, total: seen.append((done, total)))
    assert open_cache(job.root).missing() == ("train-1",)
    assert seen[-1] == (27, 30) and [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert multiprocessing.active_children() == []
    bad.write_bytes(whole)
    summary = build_cache(job)  # one shard is left: no other process is started for it
    assert (summary.shards, summary.rows, summary.pace.processes) == (1, 3, 1)
    found, expected = (open_cache(it.root).read(np.arange(30), ["logits"]) for it in (job, one))
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_allclose(found.signals["logits"], expected.signals["logits"], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_command_line_stops_all_of_them(make_job: MakeJob, tmp_path: Path, number: int) -> None:
    """The signal goes to the whole group, as a terminal and a batch system send it."""
    job = make_job()
    config = {
        "name": "two",
        "output": str(tmp_path / "run"),
        "source": {"path": str(tmp_path / "images" / "*.tar")},
        "views": {"count": 2000, "size": 16, "operations": [{"op": "crop"}]},
        "teacher": {"model": job.teacher.model, "device": "cpu", "devices": 2, "workers": 1, "batch_size": 16},
        "cache": {"signals": {"logits": {}}},
    }
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps(config))
    words = [sys.executable, "-m", "teachercache", "cache", "build", str(recipe)]
    build = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "run" / "cache").glob("shards/*/logits")) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(build.pid, number)
    _, said = build.communicate(timeout=120)
    assert build.returncode == 75, said
    assert "the same command continues" in " ".join(said.split()) and "Traceback" not in said, said
    assert _nobody_is_left(build.pid)


@pytest.mark.slow
def test_several_processes_that_are_stopped_say_which_shards_are_whole(make_job: MakeJob) -> None:
    job = make_job(devices=2, workers=1, signals=LOGITS)
    build_cache(job, only=lambda shard: shard == "train-0")  # one shard: in this process
    with pytest.raises(Interrupted, match=r"stopped with 1 of 3 shards whole \(\d+ rows kept\)"):
        build_cache(job, stop=lambda: True)


def test_processes_that_all_stopped_are_a_stop_and_one_that_failed_is_a_failure() -> None:
    stop, failure = Fault("cpu", "train-0", "stopped", 75), Fault("cpu", "train-1", "no image", 2)
    with pytest.raises(Stopped, match="train-0"):
        _raise_faults([stop], [])
    with pytest.raises(StageFailed, match="train-1: no image"):
        _raise_faults([stop, failure], [])


def _nobody_is_left(group: int) -> bool:
    """Whether a group of processes is gone; one that has ended may wait a moment for the system to note it."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_devices_are_what_the_settings_say() -> None:
    def of(**settings: object) -> tuple[str, ...]:
        return teacher_devices(TeacherSpec.model_validate({"model": "m", **settings}))

    assert of(device="cpu") == ("cpu",)
    assert of(device="cpu", devices=3) == ("cpu",) * 3
    assert of(devices=["cpu", "cpu"]) == ("cpu", "cpu")
    with pytest.raises(StageError, match="cuda:7"):
        of(devices=["cuda:7"])
    wrong: tuple[dict[str, object], ...] = ({"devices": []}, {"devices": 0}, {"devices": [0]}, {"devices": "all"})
    for settings in (*wrong, {"batch_size": "many"}, {"batch_size": 0}, {"batch_size": True}):
        with pytest.raises(ValueError, match="1 validation error"):
            of(**settings)
    with pytest.raises(ValueError, match="device and devices both name devices"):
        of(devices=["cpu"], device="cpu")


@pytest.mark.gpu
def test_all_gpus_build_one_cache(make_job: MakeJob) -> None:
    job = make_job(devices="auto", device="auto", signals={"logits": {}})
    assert build_cache(job).rows == 30
    assert open_cache(job.root, job.fingerprint).missing() == ()
