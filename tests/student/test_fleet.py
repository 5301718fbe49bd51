"""A fleet trains each trial as if it were alone, goes on without those that fail, and continues exactly."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from teachercache.stages.errors import Interrupted, StageError, StageFailed
from teachercache.stages.student.files.checkpoint import load_checkpoint
from teachercache.stages.student.files.history import read_history
from teachercache.stages.student.fleet import FleetProgress, check_fleet, train_fleet
from teachercache.stages.student.spec import StudentSpec, TrainSpec
from teachercache.stages.student.trial.trial import Trial, plan_trials

SCRIPT = Path(__file__).with_name("memory_stream.py")
CPU = torch.device("cpu")
Train = Callable[..., Any]


@pytest.fixture
def fleet(memory: ModuleType, tmp_path: Path) -> Train:
    """fleet(trials or students, train, folder="runs", stream=None, **options): train_fleet on the in-memory stream."""

    def run(what: list[Any], train: TrainSpec, folder: str = "runs", stream: Any = None, **options: Any) -> Any:
        trials = plan_trials(what, train) if isinstance(what[0], StudentSpec) else what
        stream = stream or memory.MemoryStream(train)
        return train_fleet(trials, stream, memory.SHAPE, tmp_path / folder, train, CPU, **options)

    return run


def weights(folder: Path) -> bytes:
    return (folder / "student.safetensors").read_bytes()


def history(folder: Path) -> list[dict[str, Any]]:
    """The history without its clock."""
    return [{k: v for k, v in record.items() if k != "seconds"} for record in read_history(folder / "history.jsonl")]


def stop_after(batches: int) -> Callable[[], bool]:
    """True from the given number of batches on."""
    seen = iter(range(batches - 1))
    return lambda: next(seen, None) is None


class Exploding(nn.Module):
    """A student whose output becomes NaN, infinite or an exception at one of its steps; else a linear classifier."""

    def __init__(self, classes: int, size: int, at: int, how: str) -> None:
        super().__init__()
        self.linear, self.at, self.how = nn.Linear(size * size, classes), at, how
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        logits = self.linear(inputs["pixel_values"].flatten(1))
        if not self.training:
            return {"logits": logits}
        self.calls += 1
        if int(self.calls) == self.at:
            if self.how == "memory":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            if self.how == "bug":
                raise KeyError("pixels")
            logits = logits * float(self.how)
        return {"logits": logits}


@pytest.fixture
def exploding(memory: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., StudentSpec]:
    """Settings of an Exploding student, importable as a user's own."""
    module = ModuleType("exploding_students")
    module.Exploding = Exploding  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "exploding_students", module)

    def make(at: int, how: str, name: str = "bang") -> StudentSpec:
        objective = ({"loss": "cross_entropy"},)
        return memory.make_student(  # type: ignore[no-any-return]
            name, use="exploding_students:Exploding", args={"at": at, "how": how}, objective=objective
        )

    return make


def test_a_trial_alone_equals_the_same_trial_in_a_fleet(memory: ModuleType, fleet: Train, tmp_path: Path) -> None:
    train = memory.make_train(seeds=(3, 1), controls=("labels-only", "shuffled-cache"))
    students = [memory.make_student(), memory.make_student("other", args={"widths": [4]}, control="shuffled-cache")]
    together = fleet(students, train, "together")
    assert len(together) == 8
    for result in together:
        assert result.status == "finished" and result.step == 12
        (alone,) = fleet([result.trial], train, "alone")
        assert weights(alone.folder) == weights(result.folder)
        assert history(alone.folder) == history(result.folder)


def test_the_loss_falls_and_the_arms_differ_from_equal_weights(
    memory: ModuleType, fleet: Train, tmp_path: Path
) -> None:
    train = memory.make_train(steps=60, controls=("labels-only", "shuffled-cache"))
    student = memory.make_student(optimizer={"lr": 0.01}, args={"widths": [8, 16]})
    results = {result.trial.arm: history(result.folder) for result in fleet([student], train)}
    first, last = ({arm: records[i]["terms"] for arm, records in results.items()} for i in (0, -1))
    assert last["distilled"]["kl:logits"] < 0.5 * first["distilled"]["kl:logits"]
    assert last["shuffled-cache"]["kl:logits"] > 1.5 * last["distilled"]["kl:logits"]
    assert last["labels-only"]["cross_entropy:labels"] < 0.5 * first["labels-only"]["cross_entropy:labels"]
    assert set(first["labels-only"]) == {"cross_entropy:labels"}


def test_interrupted_and_continued_equals_undisturbed(memory: ModuleType, fleet: Train) -> None:
    train = memory.make_train(controls=("labels-only",))
    students = [memory.make_student(), memory.make_student("other", args={"widths": [4], "dropout": 0.5})]
    expected = fleet(students, train, "undisturbed")
    for batches in (1, 4, 3):
        with pytest.raises(Interrupted, match="the same command continues there"):
            fleet(students, train, stop=stop_after(batches))
    for result, reference in zip(fleet(students, train), expected, strict=True):
        assert weights(result.folder) == weights(reference.folder)
        assert history(result.folder) == history(reference.folder)


@pytest.mark.parametrize("stopped", [False, True])
def test_a_run_that_another_has_overtaken_leaves_its_student_and_one_whole_history(
    memory: ModuleType, fleet: Train, stopped: bool
) -> None:
    train, student = memory.make_train(), memory.make_student()
    (expected,) = fleet([student], train, "undisturbed")
    later: list[Any] = []

    def overtake(progress: FleetProgress) -> None:
        if progress.step == 7 and not later:
            later.append(None)
            later[:] = fleet([student], train, patience=0)  # as where two jobs do the same trial: without the lock

    with pytest.raises(Interrupted) if stopped else nullcontext():
        fleet([student], train, progress=overtake, stop=lambda: stopped and bool(later))
    (result,) = later
    assert result.status == "finished" and result.step == 12
    assert weights(result.folder) == weights(expected.folder)
    assert (result.folder / "history.jsonl").read_text().count("\n") == 6
    assert history(result.folder) == history(expected.folder)
    assert not (result.folder / "checkpoints").exists()


def test_trials_at_different_steps_continue_together(memory: ModuleType, fleet: Train) -> None:
    train = memory.make_train()
    early, late = memory.make_student("early"), memory.make_student("late", args={"widths": [4]})
    expected = fleet([early, late], train, "undisturbed")
    with pytest.raises(Interrupted):
        fleet([early], train, stop=stop_after(7))
    with pytest.raises(Interrupted):
        fleet([early, late], train, stop=stop_after(2))
    for result, reference in zip(fleet([early, late], train), expected, strict=True):
        assert weights(result.folder) == weights(reference.folder)
        assert history(result.folder) == history(reference.folder)


def test_killed_at_random_and_continued_equals_never_killed(tmp_path: Path) -> None:
    """kill -9 by another process at moments that nobody chose; six trials with dropout, projectors and batch norm."""

    def run(folder: str, *kills: str) -> str:
        command = [sys.executable, "-W", "error", str(SCRIPT), str(tmp_path / folder), *kills]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=250).stdout

    whole = float(run("undisturbed").split()[-1])
    seconds = [f"{s:.3f}" for s in np.random.default_rng().uniform(0.1, 0.4, 3) * whole]
    killed = int(run("killed", *seconds).split()[0])
    assert killed >= 1, f"the fleet was done before the kills at {seconds}"
    for expected in sorted((tmp_path / "undisturbed").rglob("student.safetensors")):
        found = tmp_path / "killed" / expected.parent.relative_to(tmp_path / "undisturbed")
        assert weights(found) == expected.read_bytes(), (found, seconds)
        assert history(found) == history(expected.parent), (found, seconds)


def test_a_finished_trial_is_not_trained_again(memory: ModuleType, fleet: Train) -> None:
    train = memory.make_train()
    (first,) = fleet([memory.make_student()], train)
    before = {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")}

    class NoStream(memory.MemoryStream):  # type: ignore[name-defined,misc]
        def _batch(self, step: int) -> Any:
            raise AssertionError("nothing is left to read")

    (again,) = fleet([memory.make_student()], train, stream=NoStream(train))
    assert again == first
    assert before == {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")}


@pytest.mark.parametrize(
    ("how", "reason", "final"),
    [
        ("nan", "the loss is not a finite number at step 5", True),
        ("inf", "the loss is not a finite number at step 5", True),
        ("memory", "out of memory; a smaller student", False),
        ("bug", "KeyError: 'pixels'", False),
    ],
)
def test_a_failing_trial_is_dropped_and_the_others_go_on(
    memory: ModuleType, fleet: Train, exploding: Callable[..., StudentSpec], how: str, reason: str, final: bool
) -> None:
    train = memory.make_train()
    seen: list[FleetProgress] = []
    bad, good = fleet([exploding(5, how), memory.make_student()], train, progress=seen.append)
    assert (bad.status, good.status) == ("failed", "finished")
    assert bad.reason.startswith(reason)
    noted = json.loads((bad.folder / "failed.json").read_text())
    assert noted["reason"] == bad.reason and noted["final"] == final
    (alone,) = fleet([memory.make_student()], train, "alone")
    assert weights(good.folder) == weights(alone.folder)
    assert set(seen[0].training) == {"bang/distilled/seed-0", "small/distilled/seed-0"}
    beside = [set(state.training) for state in seen]
    assert {"small/distilled/seed-0"} in beside
    assert beside[-2] == {"bang/distilled/seed-0" if how == "memory" else "small/distilled/seed-0"}  # tried alone, last
    assert seen[-1].failed == {"bang/distilled/seed-0": bad.reason}


def test_a_gradient_that_is_not_finite_drops_the_trial(memory: ModuleType, fleet: Train) -> None:
    huge = memory.make_student("huge", optimizer={"lr": 1e38, "clip": None})
    bad, good = fleet([huge, memory.make_student()], memory.make_train())
    assert bad.status == "failed" and "is not a finite number at step" in bad.reason
    assert good.status == "finished"


def test_when_every_trial_fails_the_reasons_are_listed(
    memory: ModuleType, fleet: Train, exploding: Callable[..., StudentSpec]
) -> None:
    train = memory.make_train()
    students = [exploding(2, "nan"), exploding(3, "bug", "bong")]
    with pytest.raises(StageFailed, match="bang/distilled/seed-0: the loss(.|\n)*bong/distilled/seed-0: KeyError"):
        fleet(students, train)


def test_a_final_failure_is_not_repeated_and_another_one_is_tried_again(
    memory: ModuleType, fleet: Train, exploding: Callable[..., StudentSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    train = memory.make_train()
    students = [exploding(5, "nan"), exploding(5, "memory", "big"), memory.make_student()]
    nan, big, _ = fleet(students, train)
    assert (nan.status, big.status) == ("failed", "failed")
    monkeypatch.setattr(torch, "OutOfMemoryError", MemoryError)
    monkeypatch.setattr(Exploding, "forward", _calm)
    again, done, _ = fleet(students, train)
    assert again == nan
    assert done.status == "finished" and not (done.folder / "failed.json").exists()


def _calm(self: Exploding, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    self.calls += self.training
    return {"logits": self.linear(inputs["pixel_values"].flatten(1))}


def test_other_settings_do_not_continue_a_folder(memory: ModuleType, fleet: Train) -> None:
    train = memory.make_train()
    with pytest.raises(Interrupted):
        fleet([memory.make_student()], train, stop=stop_after(4))
    changed = memory.make_student(optimizer={"lr": 0.5})
    with pytest.raises(StageError, match=r"student\.optimizer\.lr was 0\.001 and is now 0\.5(.|\n)*delete that folder"):
        fleet([changed], train)
    with pytest.raises(StageError, match=r"train\.steps was 12 and is now 20"):
        fleet([memory.make_student()], memory.make_train(steps=20))
    with pytest.raises(StageError, match=r"student\.objective\.0\.weight was 0\.5 and is now 1\.0"):
        terms = memory.make_student().objective
        fleet([memory.make_student(objective=(terms[0].model_copy(update={"weight": 1.0}), *terms[1:]))], train)
    other = memory.MemoryStream(train)
    other.cache_fingerprint = {**other.cache_fingerprint, "teacher": {"sha256": "bb"}}
    with pytest.raises(StageError, match=r"cache\.teacher\.sha256 was aa and is now bb"):
        fleet([memory.make_student()], train, stream=other)


def test_how_often_it_logs_may_change(memory: ModuleType, fleet: Train) -> None:
    with pytest.raises(Interrupted):
        fleet([memory.make_student()], memory.make_train(), stop=stop_after(4))
    (result,) = fleet([memory.make_student()], memory.make_train(log_every=1, seeds=(0, 5)[:1], device="cpu"))
    assert [record["step"] for record in history(result.folder)] == [2, 4, *range(5, 13)]


def test_a_half_written_checkpoint_is_passed_over(memory: ModuleType, fleet: Train, tmp_path: Path) -> None:
    train = memory.make_train()
    (expected,) = fleet([memory.make_student()], train, "undisturbed")
    with pytest.raises(Interrupted):
        fleet([memory.make_student()], train, stop=stop_after(7))
    folder = tmp_path / "runs/small/distilled/seed-0/checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["step-000006", "step-000007"]
    newest = folder / "step-000007" / "state.safetensors"
    newest.write_bytes(newest.read_bytes()[:-3])
    (folder / ".step-000008.0123.tmp").mkdir()
    found = load_checkpoint(folder)
    assert found is not None and found.step == 6 and not (folder / ".step-000008.0123.tmp").exists()
    (result,) = fleet([memory.make_student()], train)
    assert weights(result.folder) == weights(expected.folder)
    assert history(result.folder) == history(expected.folder)


def test_a_checkpoint_holds_projector_and_optimiser_and_nothing_pickled(
    memory: ModuleType, fleet: Train, tmp_path: Path
) -> None:
    with pytest.raises(Interrupted):
        fleet([memory.make_student()], memory.make_train(), stop=stop_after(7))
    folder = tmp_path / "runs/small/distilled/seed-0"
    newest = folder / "checkpoints/step-000007"
    assert sorted(path.name for path in newest.iterdir()) == ["state.json", "state.safetensors"]
    names = set(load_file(newest / "state.safetensors"))
    assert "objective.0.projectors.2.linear.weight" in names
    assert {"student.classifier.weight", "optimizer.0.exp_avg", "optimizer.0.exp_avg_sq", "optimizer.0.step"} <= names
    suffixes = {path.suffix for path in folder.rglob("*") if path.is_file() and "tensorboard" not in path.parts}
    assert suffixes == {".json", ".jsonl", ".safetensors", ""}


def test_labels_only_reads_no_signal_and_sees_labelled_rows_alone(
    memory: ModuleType, fleet: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Sealed(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            raise AssertionError(f"labels-only read {name}")

    class SealedStream(memory.MemoryStream):  # type: ignore[name-defined,misc]
        def _batch(self, step: int) -> Any:
            return replace(super()._batch(step), signals=Sealed(), shuffled=Sealed())

    rows: list[int] = []
    forward = nn.BatchNorm2d.forward
    monkeypatch.setattr(nn.BatchNorm2d, "forward", lambda self, x: rows.append(len(x)) or forward(self, x))
    train = memory.make_train(labelled={"count": 20, "per_batch": 6})
    trial = Trial(memory.make_student(), "labels-only", 0)
    (result,) = fleet([trial], train, stream=SealedStream(train))
    assert result.status == "finished"
    assert set(rows) == {2, 6}  # 2 is the blank pair that finds the outputs' shapes before training


def test_wrong_settings_are_refused_before_anything_is_trained(memory: ModuleType, fleet: Train) -> None:
    wrong = memory.make_student("wrong", objective=({"loss": "kl", "signal": "logit"},))
    read: list[int] = []

    class CountingStream(memory.MemoryStream):  # type: ignore[name-defined,misc]
        def batches(self, start: int, stop: int) -> Iterator[Any]:
            read.append(start)
            return super().batches(start, stop)  # type: ignore[no-any-return]

    train = memory.make_train()
    stream = CountingStream(train)
    with pytest.raises(StageError, match="did you mean 'logits'"):
        fleet([memory.make_student(), wrong], train, stream=stream)
    with pytest.raises(StageError, match="did you mean 'logits'"):
        check_fleet(plan_trials([memory.make_student(), wrong], train), stream, memory.SHAPE, train)
    assert read == []


def test_labels_are_required_only_where_a_term_reads_them(memory: ModuleType) -> None:
    train = memory.make_train()
    unlabelled = memory.MemoryStream(train, labels=False)
    check_fleet(
        plan_trials([memory.make_student(objective=({"loss": "kl", "signal": "logits"},))], train),
        unlabelled,
        memory.SHAPE,
        train,
    )
    with pytest.raises(AssertionError):
        check_fleet(plan_trials([memory.make_student()], train), unlabelled, memory.SHAPE, train)


def test_two_runs_in_one_folder_are_refused(memory: ModuleType, fleet: Train) -> None:
    train = memory.make_train()
    errors: list[str] = []

    def second(_: FleetProgress) -> None:
        if not errors:
            with pytest.raises(StageError, match="another process is training in") as raised:
                fleet([memory.make_student()], train)
            errors.append(str(raised.value))

    fleet([memory.make_student()], train, progress=second)
    assert errors


def test_a_full_disk_is_one_clear_error_and_loses_nothing(
    memory: ModuleType, fleet: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from errno import ENOSPC

    from teachercache.stages.student.files import checkpoint

    train = memory.make_train()
    (expected,) = fleet([memory.make_student()], train, "undisturbed")

    def full(path: Path, data: bytes) -> None:
        path.write_bytes(data[: len(data) // 2])
        raise OSError(ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "write_synced", full)
        with pytest.raises(StageFailed, match="the disk is full; free some space and run the same command again"):
            fleet([memory.make_student()], train)
    (result,) = fleet([memory.make_student()], train)
    assert weights(result.folder) == weights(expected.folder)


def test_an_unwritable_folder_is_one_clear_error(memory: ModuleType, fleet: Train, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    with pytest.raises(StageFailed, match="a part of the path is a file"):
        fleet([memory.make_student()], memory.make_train())


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_trains_and_continues_exactly(memory: ModuleType, fleet: Train, precision: str) -> None:
    train = memory.make_train()
    student = memory.make_student(optimizer={"precision": precision})
    (expected,) = fleet([student], train, "undisturbed")
    with pytest.raises(Interrupted):
        fleet([student], train, stop=stop_after(5))
    (result,) = fleet([student], train)
    assert result.status == "finished"
    assert weights(result.folder) == weights(expected.folder)
    assert history(result.folder) == history(expected.folder)
    (full,) = fleet([memory.make_student()], train, "float32")
    assert weights(full.folder) != weights(result.folder)


def test_the_global_generator_is_left_as_it_was(memory: ModuleType, fleet: Train) -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    fleet([memory.make_student()], memory.make_train(steps=2))
    assert torch.equal(state, torch.get_rng_state())


def test_training_imports_nothing_of_the_teachers_side_and_no_transformers(tmp_path: Path) -> None:
    script = f"""
import sys
sys.path.insert(0, {str(SCRIPT.parent)!r})
import torch
torch.set_num_threads(1)
from pathlib import Path
import memory_stream
memory_stream.train_job(Path({str(tmp_path)!r}), steps=4)
print([name for name in sys.modules if name.startswith(("teachercache.stages.teacher", "transformers"))])
"""
    ran = subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "[]"


def test_events_are_written_where_tensorboard_is_installed(memory: ModuleType, fleet: Train) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (result,) = fleet([memory.make_student()], memory.make_train())
    events = EventAccumulator(str(result.folder / "tensorboard")).Reload()
    assert {"loss", "lr", "grad_norm", "terms/kl:logits"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("loss")] == [2, 4, 6, 8, 10, 12]


def test_nothing_but_weights_is_left_of_a_finished_trial(memory: ModuleType, fleet: Train) -> None:
    (result,) = fleet([memory.make_student()], memory.make_train())
    left = {path.name for path in result.folder.iterdir()} - {"tensorboard", ".lock"}
    assert left == {"trial.json", "history.jsonl", "student.json", "student.safetensors"}
    shutil.rmtree(result.folder)


def test_a_class_without_samples_is_learnt_beside_the_others(memory: ModuleType, fleet: Train) -> None:
    train = memory.make_train(steps=4)
    stream = memory.MemoryStream(train)
    stream.labels[stream.labels == 2] = 3
    (result,) = fleet([memory.make_student()], train, stream=stream)
    assert result.status == "finished"
    assert all(np.isfinite(record["loss"]) for record in history(result.folder))
    assert all(values.isfinite().all() for values in load_file(result.folder / "student.safetensors").values())
