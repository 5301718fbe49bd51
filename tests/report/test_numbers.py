"""The numbers of report.json are those computed by hand from the files of the run."""

import json
from typing import Any

import numpy as np
import pytest

from teachercache.pipeline.report.collect import collect_report, report_json


@pytest.fixture
def written(make_run: Any) -> dict[str, Any]:
    run = make_run()
    return report_json(collect_report(run.config, run.cache, run.held_out, run.images))


def arm(content: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in content["students"] if one["arm"] == name)
    return found


def test_a_metric_has_mean_and_sample_deviation_over_seeds(written: dict[str, Any]) -> None:
    top1 = arm(written, "distilled")["metrics"]["top1"]
    assert top1["values"] == [0.75, 0.77, 0.73]
    assert top1["mean"] == pytest.approx(0.75)
    assert top1["std"] == pytest.approx(0.02)  # sqrt((0 + 0.0004 + 0.0004) / 2)


def test_the_gain_is_paired_by_seed(written: dict[str, Any]) -> None:
    gain = arm(written, "distilled")["gain"]
    assert gain["over"] == "labels-only"
    assert gain["values"] == pytest.approx([0.05, 0.06, 0.04])
    assert gain["mean"] == pytest.approx(0.05)
    assert gain["std"] == pytest.approx(0.01)
    half = 4.303 * 0.01 / 3**0.5
    assert gain["interval"] == pytest.approx([0.05 - half, 0.05 + half])
    assert arm(written, "shuffled-cache")["gain"]["mean"] == pytest.approx(-0.10)
    assert arm(written, "labels-only")["gain"] is None


def test_retention_and_reduction_are_against_the_teacher(written: dict[str, Any]) -> None:
    distilled = arm(written, "distilled")
    assert distilled["retention"]["mean"] == pytest.approx(0.75 / 0.8)
    assert distilled["reduction"] == pytest.approx(1 - 10_000 / 200_000)
    assert written["teacher"]["metrics"]["top1"] == 0.8


def test_reliability_puts_the_seeds_together(written: dict[str, Any]) -> None:
    low, high = arm(written, "distilled")["reliability"]
    assert low == {"confidence": 0.5, "accuracy": 0.4, "share": pytest.approx(0.25)}
    assert high["accuracy"] == pytest.approx((0.75 + 0.77 + 0.73) / 3)
    assert high["share"] == pytest.approx(0.75)


def test_a_class_has_the_mean_of_its_seeds(written: dict[str, Any]) -> None:
    first, second, _ = arm(written, "labels-only")["per_class"]
    assert (first["name"], first["samples"]) == ("bag", 4)
    assert first["top1"] == pytest.approx(0.70)
    assert second["top1"] == pytest.approx(0.69)


def test_the_curve_is_mean_lowest_and_highest_seed(written: dict[str, Any]) -> None:
    curve = arm(written, "distilled")["curve"]
    assert curve["steps"] == [1, 2, 4]
    assert curve["mean"] == pytest.approx([3.1, 1.6, 0.85])
    assert curve["low"] == pytest.approx([3.0, 1.5, 0.75])
    assert curve["high"] == pytest.approx([3.2, 1.7, 0.95])


def test_the_ledger_counts_what_was_and_derives_what_would_have_been(written: dict[str, Any]) -> None:
    ledger = written["ledger"]
    assert ledger["teacher_seconds"] == pytest.approx(7.0)  # two shards of 3.5 s
    assert ledger["build_seconds"] == pytest.approx(10.0)
    assert ledger["cache_rows"] == 70  # 35 samples under 2 views
    assert ledger["rows_per_teacher_second"] == pytest.approx(10.0)
    assert (ledger["students"], ledger["trials"], ledger["reading_trials"]) == (1, 9, 6)
    assert ledger["training_seconds"] == pytest.approx(9 * 2.0)  # the last record's, which is the sum so far
    assert ledger["rows_per_trial"] == 40
    assert ledger["beside_each_seconds"] == pytest.approx(6 * 40 * 0.1)
    assert ledger["beside_fleet_seconds"] == pytest.approx(40 * 0.1)
    assert ledger["break_even_trials"] == 2  # 70 / 40
    assert ledger["kinds"]["teacher_seconds"] == "measured"
    assert ledger["kinds"]["beside_each_seconds"] == "derived"
    assert set(ledger["kinds"]) == set(ledger) - {"kinds"}


def test_cache_statistics_are_those_of_the_receipts(make_run: Any) -> None:
    run = make_run()
    cache = collect_report(run.config, run.cache, run.held_out, None).cache
    assert cache["rows"] == 70
    assert cache["bytes"] == sum(receipt.bytes for receipt in run.cache.receipts.values())
    assert cache["signals"]["logits"]["bytes_per_row"] == 6
    assert cache["signals"]["logits"]["error"] == {"max_abs": 0.002}


def test_disagreements_are_counted_by_who_is_right(written: dict[str, Any]) -> None:
    sheet = written["sheet"]
    assert (sheet["student"], sheet["samples"], sheet["count"]) == ("cnn", 12, 6)
    assert [(kind["title"], kind["count"]) for kind in sheet["kinds"]] == [("Teacher right, student wrong", 6)]
    first = sheet["kinds"][0]["shown"][0]
    assert (first["id"], first["truth"]) == ("test-001", "boot")
    assert [guess["name"] for guess in first["teacher"]] == ["boot", "coat", "bag"]
    assert [guess["name"] for guess in first["student"]] == ["coat", "bag", "boot"]


def test_one_seed_has_no_deviation(make_run: Any) -> None:
    run = make_run(top1={"distilled": (0.75,), "labels-only": (0.7,)})
    found = collect_report(run.config, run.cache, run.held_out, None).arm("cnn", "distilled")
    assert found is not None and found.gain is not None
    assert (found.primary.std, found.gain.std, found.gain.interval) == (None, None, None)


def test_a_loss_that_was_not_finite_is_left_out_of_the_curve(make_run: Any) -> None:
    run = make_run()
    history = run.folder("distilled", 1) / "history.jsonl"
    lines = [json.loads(line) for line in history.read_text().splitlines()]
    lines[1]["loss"] = None
    history.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = collect_report(run.config, run.cache, run.held_out, None).arm("cnn", "distilled")
    assert found is not None and found.curve is not None
    assert found.curve.steps == (1, 4)


def test_the_sheet_shows_each_pair_of_classes_before_any_comes_again(make_run: Any) -> None:
    run = make_run()
    files = [run.config.run / "teacher" / "predictions.npz", run.folder("distilled", 0) / "predictions.npz"]
    with np.load(files[0]) as stored:
        said = dict(stored)
    said["top3"] = np.tile([0, 1, 2], (12, 1))
    np.savez(files[0], **said)
    said["top3"][[2, 5, 8, 7]] = [[1, 0, 2], [1, 0, 2], [1, 0, 2], [2, 0, 1]]  # the true classes are 2, 2, 2 and 1
    said["top3_probability"][[2, 5, 8, 7], 0] = [0.66, 0.65, 0.50, 0.55]
    np.savez(files[1], **said)
    sheet = collect_report(run.config, run.cache, run.held_out, run.images).sheet
    assert sheet is not None
    shown = {kind.title: [one.id for one in kind.shown] for kind in sheet.kinds}
    assert shown == {"Both wrong": ["test-002", "test-007", "test-005", "test-008"]}
