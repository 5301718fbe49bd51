"""The sentence at the head says what the figures say, also when that is bad news."""

from typing import Any

import pytest

from teachercache.pipeline.report.collect import collect_report
from teachercache.pipeline.report.verdict import Verdict

LABELS = (0.70, 0.71, 0.69)
BEHIND = (0.60, 0.61, 0.59)


@pytest.fixture
def verdict_of(make_run: Any) -> Any:
    def judge(**arms: tuple[float, ...]) -> Verdict:
        top1 = {arm.replace("_", "-"): values for arm, values in arms.items()}
        run = make_run(top1=top1)
        return collect_report(run.config, run.cache, run.held_out, None).verdict

    return judge


def test_a_gain_with_a_clean_control(verdict_of: Any) -> None:
    found = verdict_of(distilled=(0.75, 0.77, 0.73), labels_only=LABELS, shuffled_cache=BEHIND)
    assert found == Verdict(
        "gain", "Distillation gains 5.0 ± 1.0 points over labels only; the shuffled cache does not."
    )


def test_no_gain_is_said_as_such(verdict_of: Any) -> None:
    found = verdict_of(distilled=(0.70, 0.70, 0.69), labels_only=LABELS, shuffled_cache=BEHIND)
    assert found == Verdict(
        "no-gain", "Distillation does not beat labels only: −0.3 ± 0.6 points; nor does the shuffled cache."
    )


def test_a_gain_that_seeds_disagree_on_is_not_clear(verdict_of: Any) -> None:
    found = verdict_of(distilled=(0.80, 0.69, 0.72), labels_only=LABELS, shuffled_cache=BEHIND)
    assert found.outcome == "no-gain"
    assert found.sentence.startswith("Distillation shows no clear gain over labels only: +3.7 ± 6.0 points")


def test_a_loss_is_called_worse(verdict_of: Any) -> None:
    found = verdict_of(distilled=BEHIND, labels_only=LABELS, shuffled_cache=BEHIND)
    assert found.sentence.startswith("Distillation is worse than labels only: −10.0 ± 0.0 points")


def test_a_control_that_gains_as_well_is_said(verdict_of: Any) -> None:
    found = verdict_of(distilled=(0.75, 0.77, 0.73), labels_only=LABELS, shuffled_cache=(0.73, 0.74, 0.72))
    assert found.outcome == "control-gains"
    assert "but the shuffled cache gains 3.0 ± 0.0 points too" in found.sentence


def test_without_a_control_it_says_that_none_was_tried(verdict_of: Any) -> None:
    found = verdict_of(distilled=(0.75, 0.77, 0.73), labels_only=LABELS)
    assert found.sentence.endswith("no shuffled cache was tried.")


def test_one_seed_is_no_proof(verdict_of: Any) -> None:
    found = verdict_of(distilled=(0.75,), labels_only=(0.70,), shuffled_cache=(0.60,))
    assert found.sentence.endswith("(one seed only: chance is not ruled out).")


def test_without_labels_only_the_gain_is_unknown(verdict_of: Any) -> None:
    found = verdict_of(distilled=(0.75, 0.77, 0.73))
    assert found.outcome == "unknown"
    assert "cnn (distilled) reaches 75.0 ± 2.0 %, the teacher 80.0 %" in found.sentence


@pytest.mark.parametrize(
    ("vit", "said"),
    [
        ((0.70, 0.70, 0.70), "nothing certain for vit (0.0 ± 1.0 in 3 seeds)"),
        ((0.60, 0.60, 0.60), "vit (−10.0 ± 1.0 in 3 seeds) is worse for it"),
    ],
)
def test_each_of_two_students_has_its_own_verdict(make_run: Any, vit: tuple[float, ...], said: str) -> None:
    objective = [{"loss": "cross_entropy"}, {"loss": "kl", "signal": "logits"}]
    students = [{"name": name, "use": "cnn", "objective": objective} for name in ("cnn", "vit")]
    run = make_run(students=students)
    for arm, values in {"distilled": vit, "labels-only": LABELS}.items():
        for seed, top1 in enumerate(values):
            run.write_trial(arm, seed, top1, student="vit")
    found = collect_report(run.config, run.cache, run.held_out, None).verdict
    assert found.outcome == "mixed"
    assert found.sentence == (
        f"Over labels only, distillation gains 5.0 ± 1.0 points for cnn, and {said}; the shuffled cache does not."
    )
