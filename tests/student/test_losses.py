"""Losses equal their references, vanish where student and teacher agree, and stay finite where half precision ends."""

import json
from collections.abc import Callable
from math import log, prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from teachercache.cache import SparseLogits
from teachercache.cache.codecs.logits.topk import TopK
from teachercache.stages.errors import StageError
from teachercache.stages.student.losses import LOSSES, attention_kl, attention_mse, cosine, cross_entropy, kl, mse

GOLDENS = json.loads((Path(__file__).parents[1] / "goldens" / "losses.json").read_text())["cases"]


def golden(case: str, name: str) -> Tensor:
    """The input tensor that the golden's formula describes (see `spec` in the file)."""
    recipe = GOLDENS[case]["inputs"][name]
    i = np.arange(prod(recipe["shape"]), dtype=np.float64)
    a, b = recipe["a"], recipe["b"]
    values = recipe["scale"] * (np.sin(a * i + b) + 0.5 * np.cos(0.37 * a * i * 1.7 + 2 * b))
    return torch.from_numpy(values.astype(np.float32).reshape(recipe["shape"]))


def logits(*shape: int, seed: int = 0, scale: float = 3.0, dtype: torch.dtype = torch.float32) -> Tensor:
    return (scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)).to(dtype)


def rows(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return logits(*shape, seed=seed, scale=1.0, dtype=torch.float64).softmax(dim=-1).to(dtype)


def sparse(dense: Tensor, k: int, temperatures: tuple[float, ...] = (1.0, 2.0)) -> SparseLogits:
    """The exact sparse form, without the codec's rounding."""
    shifted = dense - dense.amax(dim=-1, keepdim=True)
    values, ids = shifted.topk(k, dim=-1)
    rest = shifted.scatter(-1, ids, float("-inf"))
    return SparseLogits(ids, values, {t: (rest / t).logsumexp(dim=-1) for t in temperatures}, dense.shape[-1])


@pytest.mark.parametrize(("case", "temperature"), [("kd_T1", 1.0), ("kd_T4", 4.0)])
def test_kl_equals_the_reference(case: str, temperature: float) -> None:
    found = kl(golden(case, "student_logits"), golden(case, "teacher_logits"), temperature=temperature)
    assert found.shape == (8,)
    assert float(found.mean()) == pytest.approx(GOLDENS[case]["expected"], rel=1e-5)


def test_cosine_equals_the_feature_distillation_of_clip_kd() -> None:
    total = torch.tensor(0.0)
    for modality in ("image", "text"):
        case = "clipkd_fd"
        weight, bias = golden(case, f"{modality}_proj_weight"), golden(case, f"{modality}_proj_bias")
        student = functional.linear(golden(case, f"student_{modality}"), weight, bias)
        teacher = golden(case, f"teacher_{modality}")
        total = total + cosine(student, teacher).mean() * 2 / teacher.shape[-1]
    assert float(total) == pytest.approx(GOLDENS["clipkd_fd"]["expected"], rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_equals_its_formula(smoothing: float) -> None:
    output, labels = logits(6, 5), torch.tensor([0, 1, 2, 3, 4, 0])
    target = (1 - smoothing) * functional.one_hot(labels, 5) + smoothing / 5
    torch.testing.assert_close(
        cross_entropy(output, labels, label_smoothing=smoothing), -(target * output.log_softmax(-1)).sum(-1)
    )


def test_feature_and_attention_losses_equal_their_formulas() -> None:
    s, t = logits(3, 4, 6), logits(3, 4, 6, seed=1)
    torch.testing.assert_close(mse(s, t), torch.stack([((s[i] - t[i]) ** 2).mean() for i in range(3)]))
    torch.testing.assert_close(cosine(s, t), (1 - functional.cosine_similarity(s, t, dim=-1)).mean(dim=1))
    s, t = logits(3, 6, 2, 4), logits(3, 6, 2, 4, seed=1)
    torch.testing.assert_close(cosine(s, t), (1 - functional.cosine_similarity(s, t, dim=1)).mean(dim=(1, 2)))
    p, q = rows(3, 2, 5, 5), rows(3, 2, 5, 5, seed=1)
    torch.testing.assert_close(attention_kl(q, p), (p * (p / q).log()).sum(-1).mean(dim=(1, 2)))
    torch.testing.assert_close(attention_mse(q, p), ((p - q) ** 2).mean(dim=(1, 2, 3)))


PAIRED: list[tuple[Callable[..., Tensor], Callable[..., Tensor], tuple[int, ...]]] = [
    (kl, logits, (7,)),
    (mse, logits, (4, 6)),
    (cosine, logits, (6,)),
    (cosine, logits, (4, 6)),
    (attention_kl, rows, (2, 5, 5)),
    (attention_mse, rows, (2, 5, 5)),
]
NAMES = [f"{loss.__name__}{shape}" for loss, _, shape in PAIRED]


@pytest.mark.parametrize(("loss", "draw", "shape"), PAIRED, ids=NAMES)
def test_zero_where_student_equals_teacher_and_positive_elsewhere(
    loss: Callable[..., Tensor], draw: Callable[..., Tensor], shape: tuple[int, ...]
) -> None:
    teacher = draw(3, *shape)
    assert float(loss(teacher.clone(), teacher).abs().max()) < 1e-6
    for seed in range(1, 20):
        assert float(loss(draw(3, *shape, seed=seed), teacher).min()) > 1e-3


@pytest.mark.parametrize(("loss", "draw", "shape"), PAIRED, ids=NAMES)
def test_gradients_are_right_in_float64(
    loss: Callable[..., Tensor], draw: Callable[..., Tensor], shape: tuple[int, ...]
) -> None:
    student = draw(2, *shape, seed=1, dtype=torch.float64).requires_grad_()
    teacher = draw(2, *shape, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda output: loss(output, teacher), (student,))


@pytest.mark.parametrize("k", [1, 3, 7])
def test_sparse_kl_gradients_are_right_in_float64(k: int) -> None:
    student = logits(2, 7, seed=1, dtype=torch.float64).requires_grad_()
    teacher = sparse(logits(2, 7, dtype=torch.float64), k)
    assert torch.autograd.gradcheck(lambda output: kl(output, teacher, temperature=2.0), (student,))


def test_cross_entropy_gradient_is_right_in_float64() -> None:
    student = logits(2, 5, dtype=torch.float64).requires_grad_()
    labels = torch.tensor([1, 4])
    assert torch.autograd.gradcheck(lambda output: cross_entropy(output, labels, label_smoothing=0.1), (student,))


def extremes(dtype: torch.dtype, *shape: int) -> Tensor:
    """Zeros, large and the smallest numbers of a dtype, in turns; of bfloat16 so large that differences fit float32."""
    most = torch.finfo(dtype).max / (4 if dtype == torch.bfloat16 else 1)
    values = torch.tensor([most, 0.0, -most, torch.finfo(dtype).tiny, most, 1.0], dtype=dtype)
    return values.repeat(prod(shape) // 6 + 1)[: prod(shape)].view(shape).clone()


# mse in bfloat16 is left out: the square of its largest number is infinite, and the fleet drops such a trial.
@pytest.mark.parametrize(
    ("loss", "dtype"),
    [(loss, torch.float16) for loss in (kl, cosine, cross_entropy, mse)]
    + [(loss, torch.bfloat16) for loss in (kl, cosine, cross_entropy)],
)
def test_finite_at_the_ends_of_half_precision(loss: Callable[..., Tensor], dtype: torch.dtype) -> None:
    student = extremes(dtype, 4, 9).requires_grad_()
    target = torch.tensor([0, 2, 8, 4]) if loss is cross_entropy else extremes(dtype, 4, 9).flip(0, 1)
    value = loss(student, target)
    (gradient,) = torch.autograd.grad(value.sum() / 1e4, student)
    assert value.dtype == torch.float32
    assert value.isfinite().all() and gradient.isfinite().all()


@pytest.mark.parametrize("k", [1, 4, 9])
def test_sparse_kl_is_finite_at_the_ends_of_half_precision(k: int) -> None:
    student = extremes(torch.float16, 4, 9).requires_grad_()
    codec = TopK(k, (1.0,))
    target = codec.decode(codec.encode(extremes(torch.float16, 4, 9).flip(0, 1).float()), (9,))
    value = kl(student, target)
    (gradient,) = torch.autograd.grad(value.sum() / 1e4, student)
    assert value.isfinite().all() and gradient.isfinite().all()


@pytest.mark.parametrize("loss", [attention_kl, attention_mse])
def test_one_hot_and_empty_attention_rows_are_finite(loss: Callable[..., Tensor]) -> None:
    one_hot = torch.eye(5).expand(2, 3, 5, 5)
    student = one_hot.roll(1, -1).clone().requires_grad_()
    target = one_hot.clone()
    target[0, 0, 0] = 0.0
    value = loss(student, target)
    (gradient,) = torch.autograd.grad(value.sum(), student)
    assert value.isfinite().all() and gradient.isfinite().all()


def test_a_teacher_that_excludes_a_class_gives_no_nan() -> None:
    teacher = logits(2, 5)
    teacher[:, 3] = float("-inf")
    student = logits(2, 5, seed=1).requires_grad_()
    value = kl(student, teacher)
    value.sum().backward()
    assert value.isfinite().all() and student.grad is not None and student.grad.isfinite().all()


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_sparse_kl_with_every_class_kept_equals_the_dense_one(temperature: float) -> None:
    student, teacher = logits(5, 8, seed=1), logits(5, 8)
    found = kl(student, sparse(teacher, 8), temperature=temperature)
    torch.testing.assert_close(found, kl(student, teacher, temperature=temperature))


@given(st.integers(1, 11), st.integers(0, 10_000), st.sampled_from([1.0, 2.0]))
def test_sparse_kl_is_a_lower_bound_that_grows_with_k(k: int, seed: int, temperature: float) -> None:
    student, teacher = logits(3, 12, seed=seed), logits(3, 12, seed=seed + 1)
    fewer = kl(student, sparse(teacher, k), temperature=temperature)
    more = kl(student, sparse(teacher, k + 1), temperature=temperature)
    dense = kl(student, teacher, temperature=temperature)
    assert (fewer >= -1e-5).all() and (fewer <= more + 1e-4).all() and (more <= dense + 1e-4).all()


def test_sparse_kl_equals_the_divergence_of_merged_buckets() -> None:
    student, teacher, k = logits(4, 10, seed=1), logits(4, 10), 3
    ids = teacher.topk(k).indices
    p, q = teacher.softmax(-1).gather(1, ids), student.softmax(-1).gather(1, ids)
    p, q = (torch.cat([x, 1 - x.sum(1, keepdim=True)], 1) for x in (p, q))
    torch.testing.assert_close(kl(student, sparse(teacher, k)), (p * (p / q).log()).sum(1), rtol=1e-4, atol=1e-5)


def test_sparse_kl_from_the_codec_stays_within_its_stated_error() -> None:
    student, teacher, codec = logits(64, 50, seed=1), logits(64, 50), TopK(10, (1.0, 4.0))
    decoded = codec.decode(codec.encode(teacher), (50,))
    for temperature in (1.0, 4.0):
        exact = kl(student, sparse(teacher, 10, (1.0, 4.0)), temperature=temperature)
        torch.testing.assert_close(kl(student, decoded, temperature=temperature), exact, rtol=1e-3, atol=1e-2)


def test_a_temperature_without_a_tail_is_refused() -> None:
    with pytest.raises(StageError, match=r"no exact tail at temperature 3, only at 1, 2"):
        kl(logits(2, 6), sparse(logits(2, 6), 3), temperature=3.0)


def test_sparse_logits_of_other_classes_are_refused() -> None:
    with pytest.raises(StageError, match="the student has 7 classes, the signal has 6"):
        kl(logits(2, 7), sparse(logits(2, 6), 3))


@pytest.mark.parametrize(
    ("loss", "student", "teacher"),
    [
        (attention_kl, (2, 4, 5, 5), (2, 1, 5, 5)),
        (attention_mse, (2, 4, 5, 5), (2, 1, 5, 5)),
        (attention_mse, (2, 4, 5, 5), (2, 4, 1, 5)),
        (mse, (2, 6), (2, 1)),
        (cosine, (2, 3, 6), (2, 1, 6)),
    ],
)
def test_unequal_shapes_are_an_error_and_never_broadcast(loss: Any, student: Any, teacher: Any) -> None:
    with pytest.raises(StageError, match=loss.__name__):
        loss(rows(*student), rows(*teacher))


def test_a_zero_vector_has_cosine_zero() -> None:
    value = cosine(torch.zeros(2, 4, requires_grad=True), torch.ones(2, 4))
    value.sum().backward()
    assert value.tolist() == [1.0, 1.0]


def test_kl_multiplies_by_the_square_of_the_temperature() -> None:
    """Hinton et al.: gradients of the soft term shrink with 1 / T^2; in the limit of large T it is the logits' MSE."""
    student, teacher = logits(4, 6, seed=1), logits(4, 6)
    centred = [x - x.mean(dim=1, keepdim=True) for x in (student, teacher)]
    limit = (centred[0] - centred[1]).square().sum(dim=1) / (2 * 6)
    torch.testing.assert_close(kl(student, teacher, temperature=1e3), limit, rtol=1e-2, atol=1e-2)


def test_the_uniform_student_pays_log_of_the_classes() -> None:
    assert cross_entropy(torch.zeros(2, 10), torch.tensor([3, 9])).tolist() == pytest.approx([log(10)] * 2)


def test_every_loss_of_the_settings_has_a_function() -> None:
    from typing import get_args

    from teachercache.stages.student.spec import TermSpec

    assert set(get_args(TermSpec.model_fields["loss"].annotation)) == set(LOSSES)
