"""What is missing or broken is one error that names the file and the command that helps."""

import json
from typing import Any

import numpy as np
import pytest

from teachercache.pipeline.report import Report, ReportError, problem_lines, write_report
from teachercache.pipeline.report.collect import collect_report
from teachercache.stages.errors import StageError
from teachercache.stages.student.files.identity import trial_identity
from teachercache.stages.student.trial.trial import plan_trials


def collect(run: Any) -> Report:
    return collect_report(run.config, run.cache, run.held_out, run.images)


def refused(run: Any) -> str:
    with pytest.raises(ReportError) as raised:
        collect(run)
    assert raised.value.exit_code == 2
    return str(raised.value)


def test_a_trained_student_without_evaluation_asks_for_evaluate(make_run: Any) -> None:
    run = make_run()
    folder = run.folder("distilled", 1)
    (folder / "evaluation.json").unlink()
    assert refused(run).startswith(f"{folder} is trained and not evaluated; run `teachercache evaluate`")


def test_a_teacher_without_evaluation_asks_for_evaluate(make_run: Any) -> None:
    run = make_run()
    (run.config.run / "teacher" / "evaluation.json").unlink()
    assert "no evaluation of the teacher; run `teachercache evaluate`" in refused(run)


def test_a_run_without_students_asks_for_train(make_run: Any) -> None:
    assert "run `teachercache train` and `teachercache evaluate`" in refused(make_run(top1={}))


def test_an_evaluation_of_another_shape_is_named_with_its_field(make_run: Any) -> None:
    run = make_run()
    path = run.folder("distilled", 1) / "evaluation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"bytes": "many"}))
    assert refused(run).startswith(f"{path}: bytes: ")


def test_a_cut_evaluation_is_named(make_run: Any) -> None:
    run = make_run()
    path = run.folder("distilled", 1) / "evaluation.json"
    path.write_bytes(path.read_bytes()[:100])
    assert refused(run).startswith(f"{path} cannot be read as JSON")


def test_evaluations_on_different_samples_are_not_compared(make_run: Any) -> None:
    run = make_run()
    path = run.folder("distilled", 1) / "evaluation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"samples": 11}))
    assert "evaluated on 11 samples and the teacher on 12" in refused(run)


def test_pickled_predictions_are_not_read(make_run: Any) -> None:
    run = make_run()
    path = run.folder("distilled", 0) / "predictions.npz"
    np.savez(path, ids=np.array([{}], dtype=object))
    assert refused(run).startswith(f"{path} cannot be read")


def test_a_failed_trial_is_reported_with_its_reason_and_left_out(make_run: Any) -> None:
    run = make_run()
    folder = run.folder("distilled", 1)
    (folder / "evaluation.json").unlink()
    (folder / "student.json").unlink()
    (folder / "failed.json").write_text(json.dumps({"reason": "the loss is not finite", "step": 3, "final": True}))
    report = collect(run)
    distilled = report.arm("cnn", "distilled")
    assert distilled is not None and distilled.seeds == (0, 2)
    assert [(one.seed, one.step, one.reason) for one in distilled.failed] == [(1, 3, "the loss is not finite")]
    assert list(problem_lines(report)) == ["cnn/distilled/seed-1 failed: the loss is not finite"]


def test_a_trial_that_is_not_trained_yet_is_named(make_run: Any) -> None:
    run = make_run(top1={"distilled": (0.75, 0.77), "labels-only": (0.7, 0.7, 0.7)})
    report = collect(run)
    assert report.waiting[0] == "cnn/distilled/seed-2"
    assert list(problem_lines(report))[0].startswith("not trained yet: cnn/distilled/seed-2, cnn/shuffled-cache/seed-0")


def test_a_trial_that_was_stopped_at_a_rung_is_listed_and_does_not_count(make_run: Any) -> None:
    train = {"steps": 4, "batch_size": 10, "seeds": [0, 1, 2], "halving": {"rungs": [0.5]}, "log_every": 1}
    run = make_run(top1={"distilled": (0.75, 0.77, 0.5)}, train=train)
    folder = run.folder("distilled", 2)
    (folder / "evaluation.json").unlink()
    (folder / "student.json").unlink()
    (folder / "stopped.json").write_text(json.dumps({"reason": "rank 2 of 2 in cnn", "step": 2, "rank": 2, "of": 2}))
    report = write_report(run.config, run.cache, run.held_out, run.images)
    distilled = report.arm("cnn", "distilled")
    assert distilled is not None and distilled.seeds == (0, 1)
    assert list(problem_lines(report))[-1:] == ["stopped at a rung: cnn/distilled/seed-2: rank 2 of 2 in cnn"]
    page = (run.config.run / "report.html").read_text(encoding="utf-8")
    assert "1 trial was" in page and "<li>cnn/distilled/seed-2: rank 2 of 2 in cnn</li>" in page


def test_an_evaluation_from_another_held_out_cache_is_refused(make_run: Any) -> None:
    run = make_run()
    path = run.folder("distilled", 1) / "evaluation.json"
    made_from = {"held_out": run.held_out.manifest.digest}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"fingerprint": made_from}))
    assert collect(run).samples == 12
    path.write_text(json.dumps(json.loads(path.read_text()) | {"fingerprint": {"held_out": "another"}}))
    assert refused(run).startswith(f"{path} was made from another held-out cache; run `teachercache evaluate`")


def test_a_student_of_other_settings_is_not_reported_under_these(make_run: Any) -> None:
    run = make_run()
    trial = plan_trials(run.config.students, run.config.train)[1]
    others = run.config.train.model_copy(update={"steps": 5})
    for train in (run.config.train, others):
        identity = trial_identity(trial, train, run.cache.manifest.fingerprint)
        (run.folder("distilled", 1) / "trial.json").write_text(json.dumps(identity))
        if train is run.config.train:
            assert collect(run).ledger.trials == 9
    with pytest.raises(StageError, match="train.steps was 5 and is now 4"):
        collect(run)


def test_a_teacher_that_could_not_be_measured_is_reported_without_its_costs(make_run: Any) -> None:
    run = make_run()
    path = run.config.run / "teacher" / "evaluation.json"
    size = {"total": None, "without_embeddings": None}
    unknown = {"parameters": size, "bytes": None, "latency": {}, "peak_memory_mb": None, "machine": {}}
    path.write_text(
        json.dumps(json.loads(path.read_text()) | unknown | {"unmeasured": "the teacher has not travelled"})
    )
    report = write_report(run.config, run.cache, run.held_out)
    assert [one.reduction for one in report.students] == [None] * 3
    assert "could not be measured: the teacher has not travelled" in (run.config.run / "report.html").read_text()
