"""Two runs of one trial: the lock is let go by death, waited for a while, and nothing that is written relies on it."""

import json
import multiprocessing
import os
import signal
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
import torch

from teachercache.stages.errors import Interrupted, StageError
from teachercache.stages.student.files.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from teachercache.stages.student.files.history import History, Record, read_history
from teachercache.stages.student.files.lock import Patience, folder_lock


def hold(folder: Path, held: Event) -> None:
    with folder_lock(folder):
        held.set()
        time.sleep(60)


def test_a_holder_that_is_killed_never_blocks_and_one_that_lives_is_waited_for(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    holder = context.Process(target=hold, args=(tmp_path, held))
    holder.start()
    assert held.wait(60) and holder.pid is not None
    with pytest.raises(StageError, match="another process is training"), folder_lock(tmp_path):
        pass
    with pytest.raises(Interrupted), folder_lock(tmp_path, Patience(time.monotonic() + 60, lambda: True)):
        pass
    started = time.monotonic()
    with folder_lock(tmp_path, Patience(started + 0.5)):  # nobody may be kept waiting for ever
        assert 0.4 < time.monotonic() - started < 10
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    with folder_lock(tmp_path):
        pass


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(step, {"weight": torch.full((3,), float(step))}, {"step": step})


def save_all(folder: Path, steps: int) -> None:
    for step in range(1, steps + 1):
        save_checkpoint(folder, checkpoint(step))
        if step % 8:
            continue
        found = load_checkpoint(folder)  # removes what a killed run has begun, and what the other is writing
        assert found is not None and torch.equal(found.tensors["weight"], checkpoint(found.step).tensors["weight"])


def test_two_runs_that_save_the_same_checkpoints_leave_whole_ones(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    runs = [context.Process(target=save_all, args=(tmp_path, 40)) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert [run.exitcode for run in runs] == [0, 0]
    found = load_checkpoint(tmp_path)
    assert found is not None and found.step == 40
    assert not list(tmp_path.glob(".step-*"))


def record(step: int) -> Record:
    return Record(step, 1.0, {}, 0.1, 1.0, 0.5, 0)


def steps_in(path: Path) -> list[int]:
    """The steps of a history's lines, as they lie in the file."""
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_a_reader_takes_each_step_once_and_the_run_that_finishes_leaves_its_own_history(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    first, second = History(path), History(path)
    for step in range(1, 6):
        first.append(record(step))
    second.begin(3)
    for step in range(4, 8):
        first.append(record(step + 2))
        second.append(record(step))
    assert len(steps_in(path)) > 9
    assert [it["step"] for it in read_history(path)] == list(range(1, 10))
    second.finish()
    assert steps_in(path) == list(range(1, 8))


@pytest.mark.parametrize("steps", [0, 2, 5])
def test_a_run_that_begins_when_another_has_finished_takes_nothing_from_its_history(tmp_path: Path, steps: int) -> None:
    path = tmp_path / "history.jsonl"
    first, late = History(path), History(path)
    for step in range(1, 6):
        first.append(record(step))
    first.finish()
    late.begin(0)
    assert steps_in(path) == list(range(1, 6))
    for step in range(1, steps + 1):
        late.append(record(step))
    late.tidy()
    assert steps_in(path) == list(range(1, 6))


@pytest.mark.parametrize("cut", ['{"step": 4, "lo', '{"step": 4', "4", '{"loss'])
def test_a_line_that_was_cut_short_is_forgotten_and_never_grows_into_the_next(tmp_path: Path, cut: str) -> None:
    path = tmp_path / "history.jsonl"
    first, second = History(path), History(path)
    for step in range(1, 4):
        first.append(record(step))
    path.write_text(path.read_text() + cut)
    assert [it["step"] for it in read_history(path)] == [1, 2, 3]
    second.begin(3)
    second.append(record(4))
    assert [it["step"] for it in read_history(path)] == [1, 2, 3, 4]
    second.finish()
    assert steps_in(path) == [1, 2, 3, 4]


def test_a_checkpoint_is_never_newer_than_its_history_though_another_run_has_cut_it(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    first, second = History(path), History(path)
    for step in range(1, 6):
        first.append(record(step))
    second.begin(2)
    second.finish()
    first.append(record(6))
    assert [it["step"] for it in read_history(path)] == [1, 2, 6]
    first.sync()
    assert [it["step"] for it in read_history(path)] == list(range(1, 7))
