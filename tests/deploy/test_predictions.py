"""Columns of predictions, above all against logits of which the cache keeps the largest alone."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from teachercache.cache import SparseLogits
from teachercache.cache.codecs import build_codec
from teachercache.stages.deploy.evaluation.predictions import student_predictions, teacher_predictions
from teachercache.stages.deploy.metrics.classification import figures
from teachercache.stages.errors import StageError

NAMES = [str(number) for number in range(8)]


def ids(rows: int) -> np.ndarray:
    return np.array([f"sample-{number}" for number in range(rows)])


def draw(rows: int, seed: int = 0, classes: int = 8) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(rows, classes, generator=generator) * 2 for _ in range(2))
    return student, teacher.double(), torch.randint(0, classes, (rows,), generator=generator)


def keep(teacher: torch.Tensor, k: int, temperatures: tuple[float, ...] = (1.0,)) -> SparseLogits:
    """The k largest logits of each row exactly, without the codec's float16."""
    shifted, order = (teacher - teacher.amax(-1, keepdim=True)).sort(-1, descending=True)
    tails = {t: (shifted[:, k:] / t).logsumexp(-1) for t in temperatures}
    return SparseLogits(order[:, :k], shifted[:, :k], tails, teacher.shape[-1])


@given(st.integers(1, 8), st.integers(0, 10_000))
def test_divergence_from_kept_logits_is_a_lower_bound(k: int, seed: int) -> None:
    student, teacher, labels = draw(5, seed)
    dense = student_predictions(ids(5), labels, student, teacher).divergence
    kept = student_predictions(ids(5), labels, student, keep(teacher, k)).divergence
    assert np.all(kept <= dense + 1e-12) and np.all(kept >= -1e-12)
    if k >= 7:  # a bucket of one class or none loses nothing
        assert kept == pytest.approx(dense, abs=1e-10)


def test_divergence_from_kept_logits_is_that_of_the_buckets() -> None:
    student, teacher, labels = draw(1, 4)
    p, q = teacher.softmax(-1)[0].numpy(), student.double().softmax(-1)[0].numpy()
    first = np.argsort(-p)[:3]
    p, q = (np.append(x[first], 1 - x[first].sum()) for x in (p, q))
    found = student_predictions(ids(1), labels, student, keep(teacher, 3)).divergence
    assert found == pytest.approx([np.sum(p * np.log(p / q))], abs=1e-12)


def test_agreement_with_kept_logits_is_agreement_with_the_largest() -> None:
    student, teacher, labels = draw(50, 5)
    dense = student_predictions(ids(50), labels, student, teacher)
    kept = student_predictions(ids(50), labels, student, keep(teacher, 2))
    assert np.array_equal(kept.agrees, dense.agrees) and dense.agrees.any() and not dense.agrees.all()


def test_kept_logits_give_the_teachers_own_figures_as_far_as_they_reach() -> None:
    _, teacher, labels = draw(60, 6)
    dense = figures(teacher_predictions(ids(60), labels, teacher), NAMES)
    three = figures(teacher_predictions(ids(60), labels, keep(teacher, 3)), NAMES)
    eight = figures(teacher_predictions(ids(60), labels, keep(teacher, 8)), NAMES)
    for name in ("top1", "ece", "agreement", "kl"):
        assert three[name] == pytest.approx(dense[name], abs=1e-9), name
    assert three["top5"] is None and three["nll"] is None
    assert eight["top5"] == dense["top5"] and eight["nll"] == pytest.approx(dense["nll"], abs=1e-9)


def test_a_teacher_agrees_with_itself_where_two_logits_tie() -> None:
    teacher = torch.zeros(9, 8, dtype=torch.float64)
    found = figures(teacher_predictions(ids(9), torch.zeros(9, dtype=torch.int64), teacher), NAMES)
    assert (found["agreement"], found["kl"]) == (1.0, 0.0)


def test_logits_without_a_tail_at_temperature_one_are_refused() -> None:
    student, teacher, labels = draw(2)
    with pytest.raises(StageError, match="no exact tail at temperature 1"):
        student_predictions(ids(2), labels, student, keep(teacher, 3, (2.0,)))
    with pytest.raises(StageError, match="no tail at temperature 1"):
        teacher_predictions(ids(2), labels, keep(teacher, 3, (2.0,)))


def test_the_codecs_own_output_is_read() -> None:
    student, teacher, labels = draw(20, 7)
    codec = build_codec("topk", {"k": 4})
    decoded = codec.decode(codec.encode(teacher), (8,))
    assert isinstance(decoded, SparseLogits)
    found = student_predictions(ids(20), labels, student, decoded).divergence
    exact = student_predictions(ids(20), labels, student, keep(teacher, 4)).divergence
    assert found == pytest.approx(exact, abs=5e-3)  # float16 values


def test_stored_predictions_load_without_pickle() -> None:
    student, teacher, labels = draw(6)
    predictions = student_predictions(ids(6), labels, student, teacher)
    with np.load(io.BytesIO(predictions.to_npz()), allow_pickle=False) as stored:
        found = dict(stored)
    probability = student.double().softmax(-1).numpy()
    assert found["ids"].tolist() == ids(6).tolist()
    assert found["labels"].tolist() == labels.tolist()
    assert found["top3"].tolist() == np.argsort(-probability, axis=1)[:, :3].tolist()
    assert found["top3_probability"] == pytest.approx(-np.sort(-probability, axis=1)[:, :3], abs=1e-6)
    assert found["probability"] == pytest.approx(probability[np.arange(6), labels], abs=1e-6)


def test_ranks_that_are_not_known_are_marked() -> None:
    _, teacher, _ = draw(3)
    worst = teacher.argmin(-1)
    arrays = teacher_predictions(ids(3), worst, keep(teacher, 2)).arrays()
    assert arrays["top3"][:, 2].tolist() == [-1] * 3 and np.all(arrays["top3"][:, :2] >= 0)
    assert np.all(arrays["top3_probability"][:, 2] == 0) and np.all(np.isnan(arrays["probability"]))
