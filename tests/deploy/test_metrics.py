"""Figures against formulas written out another way, and against torchmetrics."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_confusion_matrix,
)

from teachercache.stages.deploy.evaluation.predictions import Predictions, join_predictions, student_predictions
from teachercache.stages.deploy.metrics.classification import (
    confusion,
    expected_calibration_error,
    figures,
    per_class,
    reliability,
    top_five,
)


def names(classes: int) -> list[str]:
    return [f"class {number}" for number in range(classes)]


def draw(rows: int, classes: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits of a student and of a teacher, float32, and labels."""
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(rows, classes, generator=generator) * 2 for _ in range(2))
    return student, teacher.double(), torch.randint(0, classes, (rows,), generator=generator)


def predict(student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor) -> Predictions:
    return student_predictions(np.array([f"s{i}" for i in range(len(labels))]), labels, student, teacher)


def answers(confidence: list[float], correct: list[bool]) -> Predictions:
    """Two-class predictions with these confidences."""
    labels = torch.zeros(len(confidence), dtype=torch.int64)
    first = torch.tensor(confidence, dtype=torch.float64)
    hit = torch.stack([first, 1 - first], dim=1).log()
    logits = torch.where(torch.tensor(correct).unsqueeze(1), hit, hit.flip(1))
    return predict(logits, logits, labels)


def written_out(student: np.ndarray, teacher: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The figures in plain loops over rows, float64."""

    def softmax(row: np.ndarray) -> np.ndarray:
        powers = np.exp(row - row.max())
        return np.asarray(powers / powers.sum())

    found: dict[str, list[float]] = {name: [] for name in ("top1", "top5", "nll", "agreement", "kl")}
    for z, t, label in zip(student, teacher, labels, strict=True):
        q, p = softmax(z), softmax(t)
        ranking = sorted(range(len(z)), key=lambda c: -z[c])
        found["top1"].append(ranking[0] == label)
        found["top5"].append(label in ranking[:5])
        found["nll"].append(-np.log(q[label]))
        found["agreement"].append(ranking[0] == int(np.argmax(t)))
        found["kl"].append(sum(p[c] * (np.log(p[c]) - np.log(q[c])) for c in range(len(z))))
    return {name: float(np.mean(values)) for name, values in found.items()}


@given(st.integers(1, 40), st.integers(2, 9), st.integers(0, 10_000))
def test_figures_equal_the_formulas_written_out(rows: int, classes: int, seed: int) -> None:
    student, teacher, labels = draw(rows, classes, seed)
    found = figures(predict(student, teacher, labels), names(classes))
    for name, expected in written_out(student.double().numpy(), teacher.numpy(), labels.numpy()).items():
        assert found[name] == pytest.approx(expected, abs=1e-12), name


def test_figures_equal_torchmetrics() -> None:
    student, teacher, labels = draw(400, 8, 3)
    predictions = predict(student, teacher, labels)
    found = figures(predictions, names(8))
    options: dict[str, Any] = {"num_classes": 8, "average": "micro"}
    assert found["top1"] == pytest.approx(float(multiclass_accuracy(student, labels, **options)))
    assert found["top5"] == pytest.approx(float(multiclass_accuracy(student, labels, top_k=5, **options)))
    error = multiclass_calibration_error(student.softmax(-1), labels, num_classes=8, n_bins=15, norm="l1")
    assert found["ece"] == pytest.approx(float(error), abs=1e-6)
    counts = multiclass_confusion_matrix(student, labels, num_classes=8)
    assert np.array_equal(confusion(predictions, 8), counts.numpy())
    assert found["confusion"] == counts.tolist()


def test_calibration_error_of_a_known_example() -> None:
    """Bin (12/15, 13/15] holds two answers at 0.85, one right; bin (9/15, 10/15] two at 0.65, both right:
    1/2 |0.5 - 0.85| + 1/2 |1 - 0.65| = 0.35."""
    bins = reliability(answers([0.85, 0.85, 0.65, 0.65], [True, False, True, True]))
    assert [one["share"] for one in bins] == [0.5, 0.5]
    assert [one["accuracy"] for one in bins] == [1.0, 0.5]
    assert [one["confidence"] for one in bins] == pytest.approx([0.65, 0.85])
    assert expected_calibration_error(bins) == pytest.approx(0.35)


def test_an_answer_given_with_certainty_is_in_the_last_bin() -> None:
    (certain,) = reliability(answers([1.0, 0.97], [True, False]))
    assert certain == pytest.approx({"confidence": 0.985, "accuracy": 0.5, "share": 1.0})


def test_a_class_without_samples_has_no_accuracy() -> None:
    logits = torch.eye(3).repeat(2, 1)[:5]
    found = per_class(predict(logits, logits.double(), torch.tensor([0, 0, 1, 0, 1])), ["a", "b", "c"])
    assert found == [
        {"class": "a", "samples": 3, "top1": 2 / 3},
        {"class": "b", "samples": 2, "top1": 0.5},
        {"class": "c", "samples": 0, "top1": None},
    ]


def test_a_table_of_confusions_is_left_out_above_a_hundred_classes() -> None:
    student, teacher, labels = draw(3, 101, 0)
    assert "confusion" not in figures(predict(student, teacher, labels), names(101))
    assert "confusion" in figures(predict(student[:, :100], teacher[:, :100], labels % 100), names(100))


def test_top_five_of_four_classes_counts_every_sample() -> None:
    student, teacher, labels = draw(6, 4, 0)
    assert top_five(predict(student, teacher, labels), 4) == 1.0


def test_half_precision_logits_give_the_figures_of_their_values() -> None:
    student, teacher, labels = draw(30, 6, 1)
    half = student.half()
    expected = written_out(half.double().numpy(), teacher.numpy(), labels.numpy())
    assert figures(predict(half, teacher, labels), names(6))["nll"] == pytest.approx(expected["nll"], abs=1e-12)


@pytest.mark.parametrize("size", [1, 7, 30])
def test_batches_do_not_change_the_figures(size: int) -> None:
    student, teacher, labels = draw(30, 6, 2)
    pieces = [predict(*(x[i : i + size] for x in (student, teacher, labels))) for i in range(0, 30, size)]
    whole = figures(predict(student, teacher, labels), names(6))
    joined = figures(join_predictions(pieces), names(6))
    assert (joined["per_class"], joined["confusion"]) == (whole["per_class"], whole["confusion"])
    for name in ("top1", "top5", "nll", "ece", "agreement", "kl"):
        assert joined[name] == pytest.approx(whole[name], abs=1e-12), name
