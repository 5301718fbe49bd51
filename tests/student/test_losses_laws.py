"""Laws that every loss keeps: lowest at the teacher, right gradients, finite in half precision, one number a row,
padding without a say, the same value under autocast, nothing broadcast, and what each must not depend on."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from teachercache.stages.errors import StageError
from teachercache.stages.student.losses import attention_kl, attention_mse, cosine, kl, mse
from teachercache.stages.student.losses.layers.energy import attention_transfer
from teachercache.stages.student.losses.layers.feature import clip_fd, vkd
from teachercache.stages.student.losses.layers.pyramid import hcl
from teachercache.stages.student.losses.layers.regression import huber, smooth_l1
from teachercache.stages.student.losses.layers.softmax_regression import srrl
from teachercache.stages.student.losses.layers.tinybert import tinybert_layers, tinybert_prediction
from teachercache.stages.student.losses.precision import full_precision
from teachercache.stages.student.losses.relation.affinity import clip_affinity, several_affinity
from teachercache.stages.student.losses.relation.bank import crd
from teachercache.stages.student.losses.relation.contrast import clip_contrastive, icl, info_nce, siglip
from teachercache.stages.student.losses.relation.distances import rkd, rkd_angle, rkd_distance
from teachercache.stages.student.losses.relation.moments import nst
from teachercache.stages.student.losses.relation.similarity import pkt, sp
from teachercache.stages.student.losses.relation.tokens import minilm, minilm_qkv
from teachercache.stages.student.losses.response.correlation import dist
from teachercache.stages.student.losses.response.decoupled import dkd, nkd
from teachercache.stages.student.losses.response.ensemble import ensemble_kl
from teachercache.stages.student.losses.response.levels import multi_level
from teachercache.stages.student.losses.response.standardized import lskd
from teachercache.stages.student.losses.tokens.actions import action_kl
from teachercache.stages.student.losses.tokens.divergence import (
    forward_kl,
    jensen,
    reverse_kl,
    skewed_kl,
    skewed_reverse_kl,
    total_variation,
)
from teachercache.stages.student.losses.tokens.taid import taid
from teachercache.stages.student.losses.tokens.vocabulary import uld

Function = Callable[..., Tensor]


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def labels(output: Tensor) -> Tensor:
    return torch.arange(len(output), device=output.device) % output.shape[-1]


@dataclass(frozen=True)
class Law:
    """A loss as (output, target, **options), the shape of a row of either side, and what holds of it.

    `zero`: 0 at student = teacher. `lowest`: no other student is below that. `half`: finite with the largest numbers of
    float16. `masked`: takes a mask over the tokens. `same`: refuses any difference in shape. `shift`, `scale`: does not
    depend on a number added to a row of logits, or on the length of an embedding. `batch`: rows depend on each other.
    """

    loss: Function
    shape: tuple[int, ...] = (7,)
    zero: bool = True
    lowest: bool = True
    half: bool = True
    masked: bool = False
    same: bool = True
    shift: bool = False
    scale: bool = False
    batch: bool = False
    probabilities: bool = False

    def draw(self, rows: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
        values = draw(rows, *self.shape, seed=seed, dtype=torch.float64)
        return (values.softmax(-1) if self.probabilities else values).to(dtype)


def with_labels(loss: Function) -> Function:
    return lambda output, target, **options: loss(output, target, labels(output), **options)


def two_teachers(output: Tensor, target: Tensor, **options: Any) -> Tensor:
    return ensemble_kl(output, [target, target], **options)


def affinity(output: Tensor, target: Tensor) -> Tensor:
    """Image and text are the two halves of one tensor."""
    return clip_affinity(*output.unbind(1), *target.unbind(1), scale=10.0, target_scale=10.0)


def affinities(output: Tensor, target: Tensor) -> Tensor:
    return several_affinity(*output.unbind(1), [(*target.unbind(1), 10.0)], scale=10.0)


def interactive(output: Tensor, target: Tensor) -> Tensor:
    return icl(*output.unbind(1), *target.unbind(1), scale=10.0)


@full_precision
def regression(output: Tensor, target: Tensor) -> Tensor:
    """The teacher's head is a fixed matrix; its logits are those of its features."""
    weight = draw(5, 7, seed=3, dtype=torch.float64).to(target.device, torch.promote_types(target.dtype, torch.float32))
    return srrl(output, target.to(weight.dtype) @ weight.T, weight=weight)


def bank(output: Tensor, target: Tensor) -> Tensor:
    return crd(output, target, draw(6, 7, seed=4).to(output.device), samples=40, log_z=3.0)


def bert(output: Tensor, target: Tensor, **options: Any) -> Tensor:
    return tinybert_layers([(output, target), (output, target)], **options)


def own_text(output: Tensor, target: Tensor, loss: Function = clip_contrastive, **options: Any) -> Tensor:
    return loss(output, target, scale=10.0, **options)


TOKENS = (4, 7)
LAWS = {
    "lskd": Law(lskd, shift=True),
    "lskd T=2": Law(partial(lskd, temperature=2.0), shift=True, scale=True),
    "dkd": Law(with_labels(dkd), shift=True),
    "nkd": Law(with_labels(nkd), zero=False, lowest=False, shift=True),
    "dist": Law(dist, shift=True, batch=True),
    "multi_level": Law(multi_level, shift=True, batch=True),
    "ensemble_kl": Law(two_teachers, shift=True),
    "forward_kl": Law(forward_kl, TOKENS, masked=True, shift=True),
    "reverse_kl": Law(reverse_kl, TOKENS, masked=True, shift=True),
    "jensen": Law(jensen, TOKENS, masked=True, shift=True),
    "skewed_kl": Law(skewed_kl, TOKENS, masked=True, shift=True),
    "skewed_reverse_kl": Law(skewed_reverse_kl, TOKENS, masked=True, shift=True),
    "total_variation": Law(total_variation, TOKENS, masked=True, shift=True),
    "taid": Law(partial(taid, t=0.5), TOKENS, masked=True, shift=True),
    "uld": Law(uld, TOKENS, same=False, shift=True),
    "action_kl": Law(partial(action_kl, token_ids=6, target_token_ids=6, bins=4), TOKENS, masked=True, shift=True),
    "kl": Law(kl, TOKENS, masked=True, shift=True),
    "mse": Law(mse, TOKENS, masked=True),
    "smooth_l1": Law(smooth_l1, TOKENS, masked=True),
    "huber": Law(partial(huber, delta=0.5), TOKENS, masked=True),
    "cosine": Law(cosine, TOKENS, masked=True, scale=True),
    "clip_fd": Law(clip_fd, scale=True),
    "vkd": Law(vkd, TOKENS, zero=False, lowest=False, masked=True),
    "srrl": Law(regression),
    "hcl": Law(hcl, (3, 4, 4)),
    "attention_transfer": Law(attention_transfer, (3, 4, 4), same=False, scale=True),
    "attention_kl": Law(attention_kl, (2, 4, 4), masked=True, probabilities=True),
    "attention_kl head-mean": Law(attention_kl, (4, 4), masked=True, probabilities=True),
    "attention_mse": Law(attention_mse, (2, 4, 4), masked=True, probabilities=True),
    "tinybert_layers": Law(bert, TOKENS, masked=True),
    "tinybert_prediction": Law(tinybert_prediction, TOKENS, zero=False, masked=True, shift=True),
    "rkd_distance": Law(rkd_distance, same=False, scale=False, batch=True),
    "rkd_angle": Law(rkd_angle, same=False, batch=True),
    "rkd": Law(rkd, same=False, batch=True),
    "sp": Law(sp, same=False, batch=True),
    "pkt": Law(pkt, same=False, scale=True, batch=True),
    "nst": Law(nst, (3, 4, 4), same=False),
    "minilm": Law(partial(minilm, heads=1), TOKENS, masked=True, same=False),
    "minilm_qkv": Law(partial(minilm_qkv, heads=2), (3, 2, 4, 3), same=False),
    "clip_affinity": Law(affinity, (2, 7), same=False, scale=True, batch=True),
    "several_affinity": Law(affinities, (2, 7), same=False, scale=True, batch=True),
    "info_nce": Law(info_nce, zero=False, lowest=False, scale=True, batch=True),
    "icl": Law(interactive, (2, 7), zero=False, lowest=False, scale=True, batch=True),
    "clip_contrastive": Law(own_text, zero=False, lowest=False, scale=True, batch=True),
    "siglip": Law(partial(own_text, loss=siglip), zero=False, lowest=False, scale=True, batch=True),
    "crd": Law(bank, zero=False, lowest=False, scale=True),
}
each = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)


def those(**wanted: bool) -> Any:
    chosen = {name: law for name, law in LAWS.items() if all(getattr(law, key) == want for key, want in wanted.items())}
    return pytest.mark.parametrize("law", chosen.values(), ids=chosen)


@those(zero=True)
def test_it_is_zero_where_student_equals_teacher_and_positive_elsewhere(law: Law) -> None:
    teacher = law.draw(4, 0)
    assert float(law.loss(teacher.clone(), teacher).abs().max()) < 2e-6
    for seed in range(1, 8):
        assert float(law.loss(law.draw(4, seed), teacher).mean()) > 1e-4


@those(lowest=True)
def test_it_is_lowest_at_the_teacher(law: Law) -> None:
    """Small steps away from it, too: the gradient there is 0 (in the mean over rows), and no step is downhill."""
    teacher = law.draw(4, 0, torch.float64)
    student = teacher.clone().requires_grad_()
    least = law.loss(student, teacher).mean()
    (gradient,) = torch.autograd.grad(least, student)
    # Sums of |x| have a corner, and attention rows live where their sum is 1: no gradient to ask for.
    if law.loss not in (uld, total_variation) and not law.probabilities:
        assert float(gradient.abs().max()) < 1e-6
    for seed in range(1, 8):
        nearby = teacher + 0.01 * law.draw(4, seed, torch.float64)
        nearby = nearby / nearby.sum(-1, keepdim=True) if law.probabilities else nearby
        assert float(law.loss(nearby, teacher).mean()) > float(least.detach()) - 1e-12


@each
def test_its_gradient_is_right_in_float64(law: Law) -> None:
    student, teacher = law.draw(3, 1, torch.float64).requires_grad_(), law.draw(3, 0, torch.float64)
    # taid's target follows the student without a gradient, so its numeric derivative is another: see its own test.
    loss = partial(forward_kl) if law is LAWS["taid"] else law.loss
    assert torch.autograd.gradcheck(lambda output: loss(output, teacher), (student,))


@each
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_one_float32_number_a_row(law: Law, dtype: torch.dtype) -> None:
    student, teacher = law.draw(4, 1, dtype).requires_grad_(), law.draw(4, 0, dtype)
    found = law.loss(student, teacher)
    assert found.shape == (4,) and found.dtype == torch.float32
    torch.testing.assert_close(found, law.loss(student.float(), teacher.float()))
    (gradient,) = torch.autograd.grad(found.sum(), student)
    assert gradient.isfinite().all() and gradient.dtype == dtype


def extremes(*shape: int, offset: int = 0) -> Tensor:
    most, least = torch.finfo(torch.float16).max, torch.finfo(torch.float16).tiny
    values = torch.tensor([most, 0.0, -most, least, most, 1.0, -least], dtype=torch.float16)
    return values.repeat(prod(shape) // 7 + 2)[offset : offset + prod(shape)].view(shape).clone()


@those(half=True, probabilities=False)
def test_it_is_finite_at_the_ends_of_half_precision(law: Law) -> None:
    for student, teacher in (
        (extremes(5, *law.shape), extremes(5, *law.shape, offset=2)),
        (torch.zeros(5, *law.shape, dtype=torch.float16), extremes(5, *law.shape)),
        (extremes(5, *law.shape), torch.zeros(5, *law.shape, dtype=torch.float16)),
        (torch.full((5, *law.shape), 65504.0, dtype=torch.float16), torch.full((5, *law.shape), -65504.0).half()),
    ):
        output = student.requires_grad_()
        found = law.loss(output, teacher)
        (gradient,) = torch.autograd.grad(found.sum() / 1e9, output)
        assert found.isfinite().all() and gradient.isfinite().all()


@each
def test_rows_keep_their_order(law: Law) -> None:
    """The loss of a row is its own, or its share: rows in another order have the same numbers in that order."""
    student, teacher = law.draw(5, 1, torch.float64), law.draw(5, 0, torch.float64)
    if law in (LAWS["dkd"], LAWS["nkd"]):  # their labels here go by number of the row
        return
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(law.loss(student[order], teacher[order]), law.loss(student, teacher)[order])
    if not law.batch:
        torch.testing.assert_close(law.loss(student[:2], teacher[:2]), law.loss(student, teacher)[:2])


@each
def test_a_batch_of_one_row_is_finite(law: Law) -> None:
    student, teacher = law.draw(1, 1).requires_grad_(), law.draw(1, 0)
    found = law.loss(student, teacher)
    (gradient,) = torch.autograd.grad(found.sum(), student)
    assert found.shape == (1,) and found.isfinite().all() and gradient.isfinite().all()


@those(batch=True)
def test_a_student_that_says_the_same_of_every_row_has_a_finite_gradient(law: Law) -> None:
    for value in (0.0, 3.3):
        student = torch.full((5, *law.shape), value).requires_grad_()
        found = law.loss(student, law.draw(5, 0))
        (gradient,) = torch.autograd.grad(found.sum(), student)
        assert found.isfinite().all() and float(gradient.abs().max()) < 1e5


@each
def test_autocast_changes_nothing(law: Law) -> None:
    student, teacher = law.draw(4, 1), law.draw(4, 0)
    plain = law.loss(student, teacher)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(law.loss(student, teacher), plain, rtol=0, atol=0)


@each
def test_unequal_shapes_are_an_error_and_never_broadcast(law: Law) -> None:
    student = law.draw(4, 1)
    fewer = law.draw(1, 0)
    if law is not LAWS["srrl"] and law is not LAWS["crd"]:
        with pytest.raises(StageError):
            law.loss(student, fewer)
    if law.same:
        narrow = torch.zeros(4, *law.shape[:-1], 1)
        with pytest.raises((StageError, RuntimeError) if law is LAWS["srrl"] else StageError):
            law.loss(student, narrow)


@those(masked=True)
def test_padding_has_no_say_whatever_it_holds(law: Law) -> None:
    tokens = law.shape[-2]
    mask = torch.arange(tokens) < torch.tensor([[tokens], [tokens - 1], [1], [0]])
    student, teacher = law.draw(4, 1), law.draw(4, 0)
    values = []
    for junk in (0.0, 7.0, float("nan"), float("inf")):
        s, t = (x.masked_fill(~mask.view(_over(law, mask)), junk) for x in (student, teacher))
        keys = mask.view(len(mask), *[1] * (len(law.shape) - 1), tokens)
        s = s.masked_fill(~keys, junk) if law.probabilities else s
        s.requires_grad_()
        found = law.loss(s, t, mask=mask)
        (gradient,) = torch.autograd.grad(found.sum(), s)
        assert found.isfinite().all() and gradient.isfinite().all()
        assert not gradient[~mask.view(_over(law, mask)).expand_as(gradient)].any()
        values.append(found.detach())
    for value in values[1:]:
        torch.testing.assert_close(value, values[0])
    assert float(values[0][3]) == 0.0  # no token at all
    whole = law.loss(student, teacher, mask=torch.ones_like(mask))
    torch.testing.assert_close(whole, law.loss(student, teacher))
    torch.testing.assert_close(values[0][0], whole[0])


def _over(law: Law, mask: Tensor) -> tuple[int, ...]:
    """The mask's shape over a batch of this law's values: tokens are the last axis but one."""
    return (len(mask), *[1] * (len(law.shape) - 2), mask.shape[1], 1)


@those(masked=True)
@pytest.mark.parametrize("kind", ["shape", "dtype"])
def test_a_wrong_mask_is_refused(law: Law, kind: str) -> None:
    student, tokens = law.draw(4, 1), law.shape[-2]
    mask = torch.ones(4, 1, dtype=torch.bool) if kind == "shape" else torch.ones(4, tokens)
    with pytest.raises(StageError, match="the mask is"):
        law.loss(student, student, mask=mask)


@those(shift=True)
@given(seed=st.integers(0, 1000), amount=st.floats(-50, 50))
def test_a_number_added_to_all_logits_of_a_row_changes_nothing(law: Law, seed: int, amount: float) -> None:
    student, teacher = law.draw(4, seed, torch.float64), law.draw(4, seed + 1, torch.float64)
    if law is LAWS["lskd T=2"] or law is LAWS["lskd"]:  # its epsilon is beside a standard deviation: a hair's breadth
        moved = law.loss(student + amount, teacher)
        torch.testing.assert_close(moved, law.loss(student, teacher), rtol=1e-6, atol=1e-9)
        return
    torch.testing.assert_close(law.loss(student + amount, teacher - amount), law.loss(student, teacher))


@those(scale=True)
@given(seed=st.integers(0, 1000), amount=st.floats(1e-3, 1e3))
def test_the_length_of_a_row_changes_nothing(law: Law, seed: int, amount: float) -> None:
    student, teacher = law.draw(4, seed, torch.float64), law.draw(4, seed + 1, torch.float64)
    lengths = torch.tensor([amount, 1.0, 2.0, 1 / amount], dtype=torch.float64).view(4, *[1] * len(law.shape))
    scaled = law.loss(student * lengths, teacher)
    torch.testing.assert_close(
        scaled, law.loss(student, teacher), rtol=1e-3 if law.loss is not cosine else 1e-7, atol=1e-6
    )


RELATIONS = {name: LAWS[name] for name in ("rkd_distance", "rkd_angle", "rkd", "sp", "pkt")}


@pytest.mark.parametrize("law", RELATIONS.values(), ids=RELATIONS)
@given(seed=st.integers(0, 1000), width=st.integers(2, 9), amount=st.floats(0.01, 100))
def test_relations_do_not_depend_on_rotation_size_or_width(law: Law, seed: int, width: int, amount: float) -> None:
    student, teacher = draw(6, width, seed=seed, dtype=torch.float64), law.draw(6, seed + 1, torch.float64)
    rotation = torch.linalg.qr(draw(width, width, seed=seed + 2, dtype=torch.float64)).Q
    plain = law.loss(student, teacher)
    torch.testing.assert_close(law.loss(amount * student @ rotation, teacher), plain)
    wider = torch.cat([student, torch.zeros(6, 3, dtype=torch.float64)], dim=1)
    torch.testing.assert_close(law.loss(wider, teacher), plain)
    if "rkd" in law.loss.__name__:
        torch.testing.assert_close(law.loss(student + 3.0, teacher), plain)
    turned = teacher @ torch.linalg.qr(draw(7, 7, seed=seed + 3, dtype=torch.float64)).Q
    assert float(law.loss(turned, teacher).abs().max()) < 1e-9


@given(seed=st.integers(0, 1000), heads=st.sampled_from([1, 2, 4]))
def test_relations_of_tokens_do_not_depend_on_a_rotation_inside_a_head(seed: int, heads: int) -> None:
    student, teacher = (draw(2, 5, 8, seed=seed + i, dtype=torch.float64) for i in (0, 1))
    turn = torch.linalg.qr(draw(8 // heads, 8 // heads, seed=seed + 2, dtype=torch.float64)).Q
    turned = (student.view(2, 5, heads, -1) @ turn).view(2, 5, 8)
    torch.testing.assert_close(minilm(turned, teacher, heads=heads), minilm(student, teacher, heads=heads))


@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 10))
def test_dist_and_lskd_forgive_the_scale_and_offset_of_the_teacher(seed: int, scale: float) -> None:
    """What they are for: probabilities (DIST, per row) or logits (LSKD) that are an affine map of the teacher's."""
    teacher = draw(4, 7, seed=seed, dtype=torch.float64)
    assert float(lskd(scale * teacher + 3, teacher).abs().max()) < 1e-6
    p = teacher.softmax(-1)
    squeezed = (0.5 * p + 0.5 / 7).log()
    assert float(dist(squeezed, teacher, gamma=0.0).abs().max()) < 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_class_that_only_the_teacher_excludes_gives_no_nan(dtype: torch.dtype) -> None:
    teacher = draw(2, 5, dtype=dtype)
    teacher[:, 3] = float("-inf")
    for law in ("dkd", "ensemble_kl", "multi_level", "dist"):
        student = draw(2, 5, seed=1, dtype=dtype).requires_grad_()
        found = LAWS[law].loss(student, teacher)
        (gradient,) = torch.autograd.grad(found.sum(), student)
        assert found.isfinite().all() and gradient.isfinite().all(), law
    for loss in (forward_kl, jensen, skewed_kl, skewed_reverse_kl, total_variation):
        student = draw(2, 5, seed=1, dtype=dtype).requires_grad_()
        found = loss(student, teacher)
        (gradient,) = torch.autograd.grad(found.sum(), student)
        assert found.isfinite().all() and gradient.isfinite().all(), loss.__name__
    assert reverse_kl(draw(2, 5, seed=1, dtype=dtype), teacher).isinf().all()  # as the divergence is


@pytest.mark.parametrize(
    "loss",
    [forward_kl, reverse_kl, jensen, skewed_kl, skewed_reverse_kl, total_variation]
    + [partial(taid, t=t) for t in (0.0, 0.5, 1.0)],
)
def test_a_class_that_both_exclude_gives_no_nan(loss: Function) -> None:
    """Such as the ids that fill up a vocabulary."""
    excluded = torch.tensor([False, False, True, False, True])
    teacher = draw(2, 5).masked_fill(excluded, float("-inf"))
    student = draw(2, 5, seed=1).requires_grad_()
    found = loss(student.masked_fill(excluded, float("-inf")), teacher)
    (gradient,) = torch.autograd.grad(found.sum(), student)
    assert found.isfinite().all() and gradient.isfinite().all()
    torch.testing.assert_close(found, loss(student[:, ~excluded], teacher[:, ~excluded]))


LENGTHLESS = {name: law for name, law in LAWS.items() if law.scale} | {
    name: LAWS[name] for name in ("rkd_distance", "rkd_angle", "rkd", "sp", "pkt", "nst", "attention_transfer")
}


@pytest.mark.parametrize("law", LENGTHLESS.values(), ids=LENGTHLESS)
def test_what_does_not_depend_on_length_is_right_where_squares_overflow(law: Law) -> None:
    student, teacher = (law.draw(4, seed) for seed in (1, 0))
    plain = law.loss(student, teacher)
    for size in (1e25, 1e36, 1e-25):
        output = (size * student).requires_grad_()
        found = law.loss(output, size * teacher)
        (gradient,) = torch.autograd.grad(found.sum(), output)
        assert gradient.isfinite().all()
        if law is not LAWS["lskd T=2"] or size > 1:  # its 1e-7 is beside a standard deviation
            torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-5)


def test_embeddings_are_lowest_in_contrast_where_the_own_target_is_nearest() -> None:
    target = torch.eye(5, 7)
    for name in ("info_nce", "crd", "clip_contrastive", "siglip"):
        loss = LAWS[name].loss
        own, other = float(loss(target, target).mean()), float(loss(target.roll(1, 0), target).mean())
        assert own < other, name


@pytest.mark.gpu
@each
def test_the_gpu_gives_what_the_cpu_gives(law: Law) -> None:
    """Value and gradient, with masks where there are any, and under autocast too."""
    student, teacher = law.draw(4, 1), law.draw(4, 0)
    tokens = law.shape[-2] if law.masked else 0
    mask = torch.arange(tokens) < torch.tensor([[tokens], [tokens - 1], [1], [0]])

    def found(device: str, cast: bool = False) -> tuple[Tensor, Tensor]:
        output = student.to(device).requires_grad_()
        options = {"mask": mask.to(device)} if law.masked else {}
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=cast):
            value = law.loss(output, teacher.to(device), **options)
        (gradient,) = torch.autograd.grad(value.sum(), output)
        return value.detach().cpu(), gradient.cpu()

    for cast in (False, True):
        torch.testing.assert_close(found("cuda", cast), found("cpu"), rtol=2e-4, atol=2e-5)
