"""On a CPU the teacher's threads leave the loader workers what they need, and no more."""

from collections.abc import Callable

import pytest
import torch

from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache
from teachercache.stages.teacher.running.threads import Threads, teacher_threads
from teachercache.stages.teacher.spec import TeacherSpec

CPU = torch.device("cpu")


def test_workers_get_what_they_need() -> None:
    assert teacher_threads(cores=2, workers=1, preparing=0.016, passing=0.32) == 2  # a worker that is hardly busy
    assert teacher_threads(cores=2, workers=1, preparing=0.026, passing=0.020) == 1  # one as busy as the teacher
    assert teacher_threads(cores=16, workers=4, preparing=9.0, passing=0.1) == 12  # at most a core for each
    assert teacher_threads(cores=16, workers=8, preparing=0.4, passing=0.1) == 13
    assert teacher_threads(cores=1, workers=4, preparing=1.0, passing=0.1) == 1
    assert teacher_threads(cores=4, workers=1, preparing=0.0, passing=0.0) == 4


def test_they_are_set_for_the_run_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("teachercache.stages.teacher.running.threads.available_cores", lambda: 4)
    before = torch.get_num_threads()
    threads = Threads(TeacherSpec(model="m", workers=2), CPU)
    assert torch.get_num_threads() == 4
    threads.settle(preparing=1.0, passing=0.5)
    assert torch.get_num_threads() == 3
    assert threads.remark() == "threads: 3 for the teacher, 1 for each of 2 workers, on 4 cores"
    threads.restore()
    assert torch.get_num_threads() == before


def test_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("teachercache.stages.teacher.running.threads.available_cores", lambda: 8)
    threads = Threads(TeacherSpec(model="m", workers=0), CPU, sharers=4)
    assert torch.get_num_threads() == 2
    threads.restore()


def test_what_the_environment_says_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    threads = Threads(TeacherSpec(model="m"), CPU)
    threads.settle(1.0, 1.0)
    assert torch.get_num_threads() == before and threads.remark() == f"threads: {before}, as OMP_NUM_THREADS says"


def test_the_number_that_was_given_is_taken_and_said(make_job: Callable[..., CacheJob]) -> None:
    before = torch.get_num_threads()
    summary = build_cache(make_job(threads=2))
    assert "threads: 2, as teacher.threads says" in summary.pace.remarks
    assert torch.get_num_threads() == before
