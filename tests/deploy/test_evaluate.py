"""Evaluating a run's students: what is written, what is not done again, and what is refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from teachercache.stages.deploy.evaluation.evaluate import EvaluationSummary, evaluate_students
from teachercache.stages.deploy.evaluation.held_out import HeldOut, HeldOutBatch
from teachercache.stages.deploy.evaluation.held_out_sets import HeldOutSets
from teachercache.stages.deploy.evaluation.spec import EvaluateSpec
from teachercache.stages.errors import Interrupted, StageError, StageFailed
from teachercache.stages.student.files.saved import load_student, read_student
from teachercache.stages.student.inputs.columns import SharedInputs
from teachercache.stages.student.inputs.feed import Feed
from teachercache.stages.student.inputs.images import prepare_views

CPU = torch.device("cpu")
FILES = ("evaluation.json", "predictions.npz")


@dataclass(frozen=True)
class Run:
    """A run's students: two seeds of a cnn and its control, another cnn, one that failed, one that is not finished."""

    students: Path
    folders: tuple[Path, ...]

    def moved(self, to: Path) -> "Run":
        """A copy that a test may change."""
        shutil.copytree(self.students, to)
        return Run(to, tuple(to / folder.relative_to(self.students) for folder in self.folders))


def read(folder: Path) -> dict[str, Any]:
    content = json.loads((folder / "evaluation.json").read_text())
    assert isinstance(content, dict)
    return content


def modified(run: Run) -> list[int]:
    return [(folder / name).stat().st_mtime_ns for folder in run.folders[:4] for name in FILES]


class OneRead(HeldOut):
    """Held-out samples that may be read once."""

    def __init__(self, other: HeldOut) -> None:
        self.__dict__.update(other.__dict__)
        self.seen: list[str] = []

    def inputs(self, feed: Feed, batch: HeldOutBatch, device: torch.device) -> SharedInputs:
        assert not set(batch.ids) & set(self.seen)
        self.seen += batch.ids.tolist()
        return super().inputs(feed, batch, device)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, save: Callable[..., Path]) -> Run:
    students = tmp_path_factory.mktemp("run") / "students"
    inputs = {"size": 12, "mean": [0.5, 0.4, 0.3]}
    folders = [save(students, seed=0), save(students, seed=1), save(students, seed=0, arm="labels-only")]
    folders.append(save(students, "wide", args={"widths": [16, 32]}, input=inputs))
    failed, unfinished = students / "cnn/distilled/seed-2", students / "cnn/distilled/seed-3"
    for folder in (failed, unfinished):
        folder.mkdir()
    (failed / "failed.json").write_text(json.dumps({"reason": "the loss is NaN", "step": 7}))
    return Run(students, (*folders, failed, unfinished))


@pytest.fixture(scope="module")
def evaluated(trained: Run, held_out: HeldOut, spec: EvaluateSpec) -> tuple[Run, EvaluationSummary, OneRead]:
    once = OneRead(held_out)
    return trained, evaluate_students(trained.folders, HeldOutSets.of(once), spec, CPU), once


def test_students_share_one_read_of_the_labelled_samples(
    evaluated: tuple[Run, EvaluationSummary, OneRead], held_out: HeldOut
) -> None:
    _, _, once = evaluated
    labelled = [f"test-0-{i}" for i in range(5)] + ["test-1-0"] + [f"test-2-{i}" for i in (1, 2, 4, 5)]
    assert once.seen == labelled
    assert (len(held_out), held_out.unlabelled) == (10, 2)


def test_figures_are_those_of_the_model_run_by_hand(
    evaluated: tuple[Run, EvaluationSummary, OneRead], held_out: HeldOut
) -> None:
    run, _, _ = evaluated
    (batch,) = held_out.batches(100)
    assert isinstance(batch.signals["logits"], torch.Tensor)
    for folder in run.folders[:4]:
        content, student = read(folder), load_student(folder)
        with torch.no_grad():
            logits = student({"pixel_values": prepare_views(held_out.views(batch), read_student(folder).student.input)})
        log_q, log_p = logits["logits"].double().log_softmax(-1), batch.signals["logits"].log_softmax(-1)
        assert content["samples"] == 10 and content["unlabelled"] == 2
        assert content["top1"] == pytest.approx(float((log_q.argmax(-1) == batch.labels).double().mean()))
        assert content["nll"] == pytest.approx(float(-log_q[torch.arange(10), batch.labels].mean()), abs=1e-6)
        assert content["kl"] == pytest.approx(float((log_p.exp() * (log_p - log_q)).sum(-1).mean()), abs=1e-6)
        assert content["agreement"] == pytest.approx(float((log_q.argmax(-1) == log_p.argmax(-1)).double().mean()))
        assert content["parameters"]["total"] == sum(p.numel() for p in student.parameters())
        assert content["bytes"] == (folder / "student.safetensors").stat().st_size


def test_an_evaluation_says_whose_it_is(evaluated: tuple[Run, EvaluationSummary, OneRead]) -> None:
    run, summary, _ = evaluated
    said = [(content["student"], content["arm"], content["seed"]) for content in map(read, run.folders[:4])]
    assert said == [
        ("cnn", "distilled", 0),
        ("cnn", "distilled", 1),
        ("cnn", "labels-only", 0),
        ("wide", "distilled", 0),
    ]
    assert summary.evaluated == run.folders[:4]


def test_failed_and_unfinished_trials_are_reported(evaluated: tuple[Run, EvaluationSummary, OneRead]) -> None:
    run, summary, _ = evaluated
    assert summary.failed == {run.folders[4]: "the loss is NaN"}
    assert summary.unfinished == (run.folders[5],)


def test_a_student_is_measured_once_whatever_its_seed_and_arm(
    evaluated: tuple[Run, EvaluationSummary, OneRead],
) -> None:
    first, second, control, wide = map(read, evaluated[0].folders[:4])
    assert first["latency"] == second["latency"] == control["latency"] != wide["latency"]
    assert set(first["latency"]) == {"1", "3"}
    assert first["parameters"] == control["parameters"] != wide["parameters"]


def test_stored_predictions_load_without_pickle(evaluated: tuple[Run, EvaluationSummary, OneRead]) -> None:
    run, _, once = evaluated
    with np.load(run.folders[0] / "predictions.npz", allow_pickle=False) as stored:
        assert stored["ids"].tolist() == once.seen
        assert stored["top3"].shape == stored["top3_probability"].shape == (10, 3)
        assert float(np.mean(stored["top3"][:, 0] == stored["labels"])) == read(run.folders[0])["top1"]


def test_nothing_is_done_twice(
    evaluated: tuple[Run, EvaluationSummary, OneRead], held_out: HeldOut, spec: EvaluateSpec
) -> None:
    run, _, _ = evaluated
    before, reader = modified(run), OneRead(held_out)
    again = evaluate_students(run.folders, HeldOutSets.of(reader), spec, CPU)
    assert (again.evaluated, again.standing) == ((), run.folders[:4])
    assert modified(run) == before and reader.seen == []


def test_a_new_seed_is_evaluated_alone_and_has_its_siblings_latency(
    evaluated: tuple[Run, EvaluationSummary, OneRead],
    held_out: HeldOut,
    spec: EvaluateSpec,
    save: Callable[..., Path],
    tmp_path: Path,
) -> None:
    run = evaluated[0].moved(tmp_path / "students")
    before, new = modified(run), save(run.students, seed=9)
    again = evaluate_students((*run.folders, new), HeldOutSets.of(held_out), spec, CPU)
    assert again.evaluated == (new,) and modified(run) == before
    assert read(new)["latency"] == read(run.folders[0])["latency"]


@pytest.mark.parametrize("damage", ["weights", "evaluation", "predictions"])
def test_what_changed_or_was_damaged_is_evaluated_again(
    evaluated: tuple[Run, EvaluationSummary, OneRead],
    held_out: HeldOut,
    spec: EvaluateSpec,
    tmp_path: Path,
    damage: str,
) -> None:
    run = evaluated[0].moved(tmp_path / "students")
    first, second = run.folders[:2]
    if damage == "weights":  # those of the other seed
        shutil.copy(second / "student.safetensors", first / "student.safetensors")
    elif damage == "evaluation":
        (first / "evaluation.json").write_text('{"top1": 0.')
    else:
        (first / "predictions.npz").unlink()
    again = evaluate_students(run.folders, HeldOutSets.of(held_out), spec, CPU)
    assert again.evaluated == (first,)
    same_as = second if damage == "weights" else evaluated[0].folders[0]
    assert read(first)["nll"] == read(same_as)["nll"]


def test_other_settings_or_samples_make_another_evaluation(
    evaluated: tuple[Run, EvaluationSummary, OneRead],
    make_held_out: Callable[..., HeldOut],
    spec: EvaluateSpec,
    tmp_path: Path,
) -> None:
    run = evaluated[0].moved(tmp_path / "students")
    others, quick = make_held_out(((0, 1),)), spec.model_copy(update={"latency_batches": (2,)})
    assert evaluate_students(run.folders[:1], HeldOutSets.of(others), quick, CPU).evaluated == run.folders[:1]
    found = read(run.folders[0])
    assert found["samples"] == 2 and set(found["latency"]) == {"2"}


def test_a_student_of_other_classes_is_one_clear_error(
    held_out: HeldOut, spec: EvaluateSpec, save: Callable[..., Path], tmp_path: Path
) -> None:
    folders = [save(tmp_path, "fits"), save(tmp_path, "other", classes=5)]
    with pytest.raises(StageError, match=r"other/distilled/seed-0: this student tells 5 classes apart, .* are 7;"):
        evaluate_students(folders, HeldOutSets.of(held_out), spec, CPU)
    assert not (folders[0] / "evaluation.json").exists()


def test_a_student_of_other_views_is_one_clear_error(
    held_out: HeldOut, spec: EvaluateSpec, save: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(StageError, match=r"views of shape \(20, 20, 3\), and the held-out views are \(16, 16, 3\)"):
        evaluate_students([save(tmp_path, size=20)], HeldOutSets.of(held_out), spec, CPU)


def test_a_student_without_its_weights_is_one_clear_error(
    held_out: HeldOut, spec: EvaluateSpec, save: Callable[..., Path], tmp_path: Path
) -> None:
    folder = save(tmp_path)
    (folder / "student.safetensors").unlink()
    with pytest.raises(StageError, match=r"student\.safetensors cannot be read .* run `teachercache train` again"):
        evaluate_students([folder], HeldOutSets.of(held_out), spec, CPU)


def test_a_student_that_says_nan_does_not_keep_the_others_from_being_evaluated(
    evaluated: tuple[Run, EvaluationSummary, OneRead], held_out: HeldOut, spec: EvaluateSpec, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    run = evaluated[0].moved(tmp_path / "students")
    broken, changed = run.folders[:2]
    for folder, value in ((broken, torch.nan), (changed, 0.0)):
        weights = load_file(folder / "student.safetensors")
        save_file({**weights, "classifier.bias": torch.full((7,), value)}, folder / "student.safetensors")
    with pytest.raises(StageFailed, match="no finite numbers come from cnn/distilled/seed-0; delete"):
        evaluate_students(run.folders, HeldOutSets.of(held_out), spec, CPU)
    assert read(changed)["nll"] != read(evaluated[0].folders[1])["nll"]


def test_a_stop_ends_between_batches_and_leaves_nothing_half_done(
    held_out: HeldOut, spec: EvaluateSpec, save: Callable[..., Path], tmp_path: Path
) -> None:
    folder, done = save(tmp_path), []
    with pytest.raises(Interrupted, match="4 of 10"):
        evaluate_students(
            [folder],
            HeldOutSets.of(held_out),
            spec,
            CPU,
            lambda count, total: done.append((count, total)),
            lambda: bool(done),
        )
    assert done == [(4, 10)] and not any((folder / name).exists() for name in FILES)


def test_progress_counts_to_the_end(
    evaluated: tuple[Run, EvaluationSummary, OneRead], held_out: HeldOut, spec: EvaluateSpec, tmp_path: Path
) -> None:
    run, done = evaluated[0].moved(tmp_path / "students"), []
    (run.folders[0] / "evaluation.json").unlink()
    evaluate_students(
        run.folders, HeldOutSets.of(held_out), spec, CPU, lambda count, total: done.append((count, total))
    )
    assert done == [(4, 10), (8, 10), (10, 10)]


def test_samples_without_any_label_cannot_be_scored(make_held_out: Callable[..., HeldOut]) -> None:
    with pytest.raises(StageError, match="none of its 3 held-out samples has a label"):
        make_held_out(((None, None), (None,)))


def test_a_label_that_is_no_class_of_the_teachers_names_its_sample(make_held_out: Callable[..., HeldOut]) -> None:
    with pytest.raises(StageError, match=r"sample 'test-1-1' has label 7, and the teacher knows classes 0 to 6"):
        make_held_out(((0, 1), (2, 7)))


def test_plain_views_alone_are_scored(make_held_out: Callable[..., HeldOut]) -> None:
    from teachercache.data.spec import FlipSpec

    once = make_held_out(((0, 1), (2,)))
    thrice = make_held_out(((0, 1), (2,)), count=3, operations=(FlipSpec(op="flip"),))
    (first,), (second,) = once.batches(9), thrice.batches(9)
    assert second.rows.tolist() == [0, 3, 6]
    assert first.ids.tolist() == second.ids.tolist()
    assert torch.equal(once.views(first), thrice.views(second))
