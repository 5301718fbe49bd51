"""What the report says of other figures than top-1, of several held-out sets, and of a ladder: computed by hand."""

import io
import json
from typing import Any

import pytest
from rich.console import Console

from teachercache.pipeline.report import ReportError, write_report
from teachercache.pipeline.report.collect import collect_report
from teachercache.pipeline.report.figures.accuracy import size_panel
from teachercache.pipeline.report.terminal import ladder_table, result_table, sets_table

VALUES = {  # primary figure by student, arm and seed: main set, and the other one
    ("first", "labels-only"): ((0.40, 0.20), (0.42, 0.22), (0.44, 0.21)),
    ("first", "distilled"): ((0.50, 0.25), (0.53, 0.28), (0.53, 0.25)),
    ("second", "labels-only"): ((0.41, 0.20), (0.42, 0.20), (0.43, 0.20)),
    ("second", "distilled"): ((0.60, 0.25), (0.62, 0.30), (0.64, 0.26)),
    ("second", "shuffled-cache"): ((0.10, 0.10), (0.12, 0.10), (0.14, 0.10)),
}
OBJECTIVE = [{"loss": "cross_entropy"}, {"loss": "kl", "signal": "logits"}]
RIGHT = [{"metric": "all-right", "parts": {"cell": {"output": "logits", "signal": "logits"}}, "by": "kind"}]


def figures(value: float, unit: str = "%", better: str = "higher", key: str = "right") -> dict[str, Any]:
    kind = {"title": key, "unit": unit, "better": better}
    rows = [{"value": "click", "samples": 8, "share": value}, {"value": "answer", "samples": 4, "share": value / 2}]
    return {"figures": {key: {"value": value, **kind}}, "breakdowns": [{"figure": key, "by": "kind", "rows": rows}]}


@pytest.fixture
def two_sets(make_run: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run of two students on two sets, judged by what share of samples is right."""
    paths = {name: {"path": str(tmp_path_factory.getbasetemp() / "unused.tar")} for name in ("other",)}
    students = [{"name": name, "use": "cnn", "objective": OBJECTIVE} for name in ("first", "second")]

    def make(**evaluate: Any) -> Any:
        run = make_run({}, students=students, evaluate={"metrics": RIGHT, "ladder": True, **evaluate, **sets(run_path)})
        content = json.loads((run.config.run / "teacher/evaluation.json").read_text())
        told(run, run.config.run / "teacher", content, (0.8, 0.5))
        for (student, arm), seeds in VALUES.items():
            for seed, values in enumerate(seeds):
                run.write_trial(arm, seed, 0.5, student)
                folder = run.folder(arm, seed, student)
                told(run, folder, json.loads((folder / "evaluation.json").read_text()), values)
        return run

    run_path = make_run.args[0]

    def sets(root: Any) -> dict[str, Any]:
        return {"sets": {"main": {"path": str(root / "test-*.tar")}, **paths}}

    return make


def told(run: Any, folder: Any, content: dict[str, Any], values: tuple[float, float]) -> None:
    """An evaluation of both sets, without what a classification leaves."""
    for name in ("top1", "top5", "nll", "ece", "agreement", "kl", "per_class", "reliability"):
        content.pop(name)
    other = {"samples": 5, **figures(values[1]), "held_out": run.held_out.manifest.digest}
    text = json.dumps({**content, **figures(values[0]), "predictions": False, "sets": {"other": other}})
    (folder / "evaluation.json").write_text(text)
    (folder / "predictions.npz").unlink()


def collected(run: Any) -> Any:
    return collect_report(run.config, run.cache, run.held_out, run.images, {"other": run.held_out})


def test_gain_and_retention_are_of_the_primary_figure_on_every_set(two_sets: Any) -> None:
    found = collected(two_sets()).arm("first", "distilled")
    assert found.gain.values == pytest.approx((0.10, 0.11, 0.09))
    assert found.retention.mean == pytest.approx(0.52 / 0.8)
    other = found.sets["other"]
    assert other.gain.values == pytest.approx((0.05, 0.06, 0.04)) and other.retention.mean == pytest.approx(0.26 / 0.5)


def test_a_rung_has_its_gain_over_the_one_before_paired_by_seed(two_sets: Any) -> None:
    ladder = collected(two_sets()).ladder
    assert [(one.student, one.arm) for one in ladder.rungs] == [
        ("first", "labels-only"),
        ("first", "distilled"),
        ("second", "distilled"),
    ]
    lowest, first, second = ladder.rungs
    assert lowest.values["main"].step is None and lowest.values["main"].value.mean == pytest.approx(0.42)
    assert first.values["main"].step.values == pytest.approx((0.10, 0.11, 0.09))
    assert second.values["main"].step.values == pytest.approx((0.10, 0.09, 0.11))
    assert second.values["other"].step.values == pytest.approx((0.0, 0.02, 0.01))
    assert second.values["main"].step.over == "first"
    assert ladder.control.values["main"].step.values == pytest.approx((-0.30, -0.30, -0.30))


def test_rungs_may_be_named_in_another_order(two_sets: Any) -> None:
    ladder = collected(two_sets(ladder=["second", "first"])).ladder
    assert [one.student for one in ladder.rungs] == ["second", "second", "first"]
    assert ladder.rungs[2].values["main"].step.mean == pytest.approx(-0.10)


@pytest.mark.parametrize("widths, gains", [([8], (0.10, -0.30)), ([9], (None, None))])
def test_rungs_of_one_architecture_gain_over_the_rung_of_labels_only(
    make_run: Any, widths: list[int], gains: tuple[float | None, float | None]
) -> None:
    students = [
        {"name": "labels", "use": "cnn", "objective": OBJECTIVE, "args": {"widths": [8]}, "control": "labels-only"},
        {"name": "kl", "use": "cnn", "objective": OBJECTIVE, "args": {"widths": widths}},
        {"name": "cut", "use": "cnn", "objective": OBJECTIVE, "args": {"widths": [8]}, "control": "shuffled-cache"},
    ]
    evaluate = {"source": {"path": str(make_run.args[0] / "test-*.tar")}, "ladder": True}
    run = make_run({}, students=students, evaluate=evaluate, train={"steps": 4, "seeds": [0, 1]})
    for (student, arm), value in {("labels", "labels-only"): 0.4, ("kl", "distilled"): 0.5}.items():
        for seed in (0, 1):
            run.write_trial(arm, seed, value, student)
            run.write_trial("shuffled-cache", seed, 0.1, "cut")
    report = collect_report(run.config, run.cache, run.held_out, None)
    found = [report.arm(*key).gain for key in (("kl", "distilled"), ("cut", "shuffled-cache"))]
    assert [one and one.mean for one in found] == [gain and pytest.approx(gain) for gain in gains]
    assert report.arm("labels", "labels-only").gain is None


def test_the_page_shows_sets_ladder_and_breakdown_and_nothing_of_classes(two_sets: Any) -> None:
    run = two_sets()
    report = write_report(run.config, run.cache, run.held_out, run.images, {"other": run.held_out})
    page = (run.config.run / "report.html").read_text()
    assert 'id="ladder"' in page and "Other held-out sets" in page and "All right by kind, on other" in page
    assert 'id="figure-reliability"' not in page and 'id="figure-per-class"' not in page and report.sheet is None
    assert "80.0 % all right" in page and "gains 20.0 ± 1.0 for second" in report.verdict.sentence.replace(
        "and ", "gains "
    )


def test_equally_large_students_share_a_label_beside_their_points(two_sets: Any) -> None:
    drawing = size_panel(collected(two_sets())).svg
    assert "first, second<" in drawing and ">first<" not in drawing


def test_the_terminal_has_the_ladder_and_the_sets(two_sets: Any) -> None:
    report, console = collected(two_sets()), Console(width=100, record=True, file=io.StringIO())
    for table in (result_table(report), ladder_table(report), sets_table(report)):
        console.print(table)
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert "second 62.0 ± 2.0 +10.0 ± 1.0 27.0 ± 2.6 +1.0 ± 1.0" in lines
    assert "second, shuffled cache 12.0 ± 2.0 −30.0 ± 0.0 10.0 ± 0.0 −11.0 ± 1.0" in lines
    assert "teacher 80.0 50.0" in lines and "first, distilled 52.0 ± 1.7 26.0 ± 1.7" in lines


def test_an_evaluation_of_another_sets_cache_is_refused(two_sets: Any) -> None:
    run = two_sets()
    path = run.folder("distilled", 1, "second") / "evaluation.json"
    content = json.loads(path.read_text())
    content["sets"]["other"]["held_out"] = "another"
    path.write_text(json.dumps(content))
    with pytest.raises(ReportError, match="second/distilled/seed-1.* was made from another held-out cache"):
        collected(run)


def test_where_less_is_better_a_smaller_figure_is_a_gain(make_run: Any) -> None:
    metrics = [{"metric": "regression", "output": "y", "signal": "logits", "label": "age", "unit": "years"}]
    run = make_run(evaluate={"source": {"path": str(make_run.args[0] / "test-*.tar")}, "metrics": metrics})
    errors = {"labels-only": 6.0, "distilled": 4.0, "shuffled-cache": 8.0}
    for arm, value in errors.items():
        for seed in range(3):
            path = run.folder(arm, seed) / "evaluation.json"
            told = figures(value + 0.1 * seed, "years", "lower", "mae")
            path.write_text(json.dumps({**json.loads(path.read_text()), **told}))
    path = run.config.run / "teacher/evaluation.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **figures(3.0, "years", "lower", "mae")}))
    report = collect_report(run.config, run.cache, run.held_out, None)
    found = report.arm("cnn", "distilled")
    assert found is not None and found.gain is not None and found.retention is not None
    assert found.gain.mean == pytest.approx(2.0) and report.verdict.outcome == "gain"
    assert found.retention.values[0] == pytest.approx(3.0 / 4.0)
    assert report.verdict.sentence.startswith(
        "Distillation gains 2.000 ± 0.000 years of MAE over labels only; the shuff"
    )


def test_a_rung_that_is_no_student_is_refused(make_run: Any) -> None:
    with pytest.raises(ValueError, match="evaluate.ladder: no student is named 'third'; there are cnn"):
        make_run(evaluate={"source": {"path": "x.tar"}, "ladder": ["cnn", "third"]})
