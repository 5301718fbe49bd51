"""Losses on sampled logits: value and gradient have the expectation of the dense ones, and nothing is made dense."""

import pytest
import torch
from torch import Tensor

from teachercache.cache import HeadLogits, SampledTargets
from teachercache.cache.codecs import build_codec
from teachercache.stages.errors import StageError
from teachercache.stages.student.losses import kl

CLASSES = 40
DRAWS = 3000


def draw(*shape: int, seed: int = 0, scale: float = 2.0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sampled(teacher: Tensor, name: str, **parameters: object) -> SampledTargets:
    codec = build_codec(name, parameters)
    decoded = codec.decode(codec.encode(teacher), (teacher.shape[-1],))
    assert isinstance(decoded, SampledTargets)
    return decoded


def gradients(student: Tensor, target: Tensor | SampledTargets, temperature: float) -> tuple[Tensor, Tensor]:
    """Value (B,) and gradient (B, C) of each row."""
    student = student.clone().requires_grad_()
    value = kl(student, target, temperature=temperature)
    return value.detach(), torch.autograd.grad(value.sum(), student)[0]


CODECS = [
    ("pps", {"k": 8}, 1.0),
    ("pps", {"k": 8}, 2.0),
    ("pps", {"k": 8}, 4.0),
    ("pps", {"k": 8, "sample_temperature": 4.0}, 4.0),
    ("sampling", {"draws": 20}, 1.0),
    ("sampling", {"draws": 20, "sample_temperature": 2.0}, 2.0),
]


@pytest.mark.parametrize(("name", "parameters", "temperature"), CODECS)
def test_value_and_gradient_are_those_of_the_dense_loss_in_the_mean(
    name: str, parameters: dict[str, object], temperature: float
) -> None:
    # Rows that hardly differ, each with draws of its own.
    teacher = draw(1, CLASSES) + 0.01 * draw(DRAWS, CLASSES, seed=1)
    student = draw(1, CLASSES, seed=2).expand(DRAWS, -1)
    value, gradient = gradients(student, sampled(teacher, name, **parameters), temperature)
    exact, wanted = gradients(student, teacher, temperature)
    if temperature != 1:  # the teacher's entropy is known at temperature 1 alone
        log_p = (teacher / temperature).log_softmax(-1)
        exact = exact - temperature**2 * (log_p.exp() * log_p).sum(-1)
    for found, right in ((value, exact), (gradient, wanted)):
        error = (found - right).mean(dim=0)
        spread = (found - right).std(dim=0) / DRAWS**0.5
        assert bool((error.abs() <= 5 * spread + 3e-3).all()), (error.abs() / spread).max()


def test_the_spread_of_the_gradient_falls_with_the_number_of_classes_kept() -> None:
    teacher, student = draw(500, CLASSES), draw(500, CLASSES, seed=2)
    exact = gradients(student, teacher, 1.0)[1]
    spread = [(gradients(student, sampled(teacher, "pps", k=k), 1.0)[1] - exact).square().sum() for k in (3, 8, 20)]
    assert spread[0] > 2 * spread[1] > 4 * spread[2]


def test_everything_kept_is_the_dense_loss() -> None:
    teacher, student = draw(9, 6), draw(9, 6, seed=1)
    value, gradient = gradients(student, sampled(teacher, "pps", k=6), 1.0)
    exact, wanted = gradients(student, teacher, 1.0)
    torch.testing.assert_close(value, exact, atol=1e-2, rtol=0)
    torch.testing.assert_close(gradient, wanted, atol=2e-3, rtol=0)


def test_the_gradient_is_right_in_float64() -> None:
    found = sampled(draw(3, 9), "pps", k=4)
    student = draw(3, 9, seed=1).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda output: kl(output, found, temperature=2.0), (student,))


def test_an_entry_that_says_nothing_counts_nothing_where_the_student_excludes_its_class() -> None:
    target = SampledTargets(torch.tensor([[0, 2]]), {1.0: torch.tensor([[1.0, 0.0]])}, torch.tensor([0.0]), 3)
    student = torch.tensor([[1.0, 0.0, float("-inf")]], requires_grad=True)
    value = kl(student, target)
    (gradient,) = torch.autograd.grad(value.sum(), student)
    assert value.isfinite().all() and gradient.isfinite().all()


def test_a_temperature_that_the_sample_does_not_allow_is_an_error() -> None:
    with pytest.raises(StageError, match="weights at temperature 1, 2, 4 and none at 3"):
        kl(draw(2, 9), sampled(draw(2, 9), "pps", k=4), temperature=3.0)
    with pytest.raises(StageError, match="weights at temperature 2 and none at 1"):
        kl(draw(2, 9), sampled(draw(2, 9), "sampling", draws=4, sample_temperature=2.0))


def test_another_number_of_classes_is_an_error() -> None:
    with pytest.raises(StageError, match="student has 8 classes, the signal has 9"):
        kl(draw(2, 8), sampled(draw(2, 9), "pps", k=4))


def test_kl_to_a_head_is_kl_to_its_logits() -> None:
    head = HeadLogits(draw(5, 4), draw(7, 4, seed=1), draw(7, seed=2))
    student = draw(5, 7, seed=3)
    torch.testing.assert_close(kl(student, head, temperature=2.0), kl(student, head.logits(), temperature=2.0))
