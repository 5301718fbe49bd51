"""Losses without a golden equal their formulas, written out slowly in float64, row by row and entry by entry."""

from math import log

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from teachercache.stages.errors import StageError
from teachercache.stages.student.losses import kl
from teachercache.stages.student.losses.layers.feature import vkd
from teachercache.stages.student.losses.layers.pyramid import hcl
from teachercache.stages.student.losses.layers.softmax_regression import srrl
from teachercache.stages.student.losses.layers.tinybert import tinybert_layers, tinybert_prediction
from teachercache.stages.student.losses.relation.affinity import clip_affinity, several_affinity
from teachercache.stages.student.losses.relation.bank import crd, crd_log_z
from teachercache.stages.student.losses.relation.contrast import icl, info_nce
from teachercache.stages.student.losses.relation.distances import rkd_angle, rkd_distance
from teachercache.stages.student.losses.relation.moments import nst
from teachercache.stages.student.losses.relation.similarity import pkt, sp
from teachercache.stages.student.losses.relation.tokens import minilm, minilm_qkv
from teachercache.stages.student.losses.response.decoupled import dkd, nkd
from teachercache.stages.student.losses.response.ensemble import ensemble_kl, mean_of_softmaxes
from teachercache.stages.student.losses.response.levels import multi_level
from teachercache.stages.student.losses.tokens.actions import action_ids, action_kl
from teachercache.stages.student.losses.tokens.divergence import forward_kl, skewed_kl, skewed_reverse_kl
from teachercache.stages.student.losses.tokens.taid import TaidPace, next_pace, taid
from teachercache.stages.student.losses.tokens.vocabulary import uld


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def entropy(p: Tensor, q: Tensor) -> Tensor:
    return (p * (p / q).log()).sum(-1)


def test_dkd_with_its_natural_weight_is_kl() -> None:
    """KL = TCKD + (1 - p(label)) NCKD: equation 6 of the paper."""
    s, t, labels = draw(6, 5, seed=1), draw(6, 5), torch.tensor([0, 1, 2, 3, 4, 0])
    own = (t / 2).softmax(-1).gather(1, labels[:, None])[:, 0]
    parts = [dkd(s, t, labels, temperature=2.0, alpha=a, beta=b) for a, b in ((1.0, 0.0), (0.0, 1.0))]
    torch.testing.assert_close(parts[0] + (1 - own) * parts[1], kl(s, t, temperature=2.0))


def test_dkd_keeps_the_digits_of_a_teacher_that_is_sure() -> None:
    """1 - p(label) would be 0 in float32; its logarithm is not."""
    t = torch.tensor([[30.0, 0.0, -2.0]])
    s = torch.tensor([[0.0, 1.0, 2.0]])
    label = torch.tensor([0])
    exact = dkd(s.double(), t.double(), label, temperature=1.0)
    torch.testing.assert_close(dkd(s, t, label, temperature=1.0).double(), exact, rtol=1e-5, atol=0)


def test_nkd_excludes_the_label() -> None:
    s, t, labels = draw(4, 5, seed=1), draw(4, 5), torch.tensor([0, 1, 4, 2])
    expected = []
    for i, label in enumerate(labels.tolist()):
        others = [c for c in range(5) if c != label]
        p, q = (t[i, others] / 2).softmax(-1), (s[i, others] / 2).softmax(-1)
        first = -t[i].softmax(-1)[label] * s[i].log_softmax(-1)[label]
        expected.append(first - 1.5 * 4 * (p * q.log()).sum())
    torch.testing.assert_close(nkd(s, t, labels, temperature=2.0), torch.stack(expected))


@pytest.mark.parametrize("loss", [dkd, nkd])
def test_rows_without_a_label_are_refused(loss) -> None:  # type: ignore[no-untyped-def]
    for labels in ([0, -1], [0, 5]):
        with pytest.raises(StageError, match=rf"{loss.__name__}: labels go from .* leave out rows without a label"):
            loss(draw(2, 5), draw(2, 5), torch.tensor(labels))
    with pytest.raises(StageError, match="one class number for each of 2 rows"):
        loss(draw(2, 5), draw(2, 5), torch.tensor([1]))


def test_multi_level_is_the_sum_of_rows_batch_and_classes() -> None:
    s, t, expected = draw(4, 6, seed=1), draw(4, 6), torch.tensor(0.0, dtype=torch.float64)
    for temperature in (4.0, 2.0, 3.0, 5.0, 6.0):
        p, q = (t / temperature).softmax(1), (s / temperature).softmax(1)
        expected = expected + temperature**2 * entropy(p, q).mean()
        expected = expected + (p @ p.T - q @ q.T).square().sum() / 4 + (p.T @ p - q.T @ q).square().sum() / 6
    torch.testing.assert_close(multi_level(s, t).mean(), expected)


def test_several_teachers_are_the_mean_of_their_softmaxes_and_not_of_their_logits() -> None:
    s, teachers = draw(3, 5, seed=9), [draw(3, 5, seed=i) for i in range(3)]
    p = sum((t / 2).softmax(-1) * w for t, w in zip(teachers, (0.5, 0.25, 0.25), strict=True))
    found = ensemble_kl(s, teachers, weights=torch.tensor([2.0, 1.0, 1.0]), temperature=2.0)
    torch.testing.assert_close(found, 4 * entropy(p, (s / 2).softmax(-1)))
    torch.testing.assert_close(ensemble_kl(s, teachers[:1]), kl(s, teachers[0]))
    by_row = torch.tensor([[1.0, 0, 0], [0, 2, 0], [0, 0, 3]])
    chosen = torch.stack([teachers[i][i].log_softmax(-1) for i in range(3)])
    torch.testing.assert_close(mean_of_softmaxes(teachers, weights=by_row), chosen)


def test_teachers_that_do_not_meet_are_refused() -> None:
    for targets, weights, message in (
        ([], None, "list of targets is empty"),
        ([draw(3, 5), draw(3, 4)], None, "several teachers: the output"),
        ([draw(3, 5)], torch.ones(2), "weights are"),
    ):
        with pytest.raises(StageError, match=message):
            mean_of_softmaxes(targets, weights=weights)


def test_skewed_divergences_equal_their_formulas() -> None:
    s, t = draw(3, 4, 6, seed=1), draw(3, 4, 6)
    p, q = t.softmax(-1), s.softmax(-1)
    torch.testing.assert_close(skewed_kl(s, t, alpha=0.2), entropy(p, 0.2 * p + 0.8 * q).mean(1))
    torch.testing.assert_close(skewed_reverse_kl(s, t, alpha=0.2), entropy(q, 0.8 * p + 0.2 * q).mean(1))


def test_taid_moves_from_the_student_to_the_teacher_without_a_gradient_through_the_target() -> None:
    s, t = draw(3, 6, seed=1).requires_grad_(), draw(3, 6)
    assert float(taid(s.detach(), t, t=0.0).abs().max()) < 1e-12
    torch.testing.assert_close(taid(s, t, t=1.0), kl(s, t))
    (found,) = torch.autograd.grad(taid(s, t, t=0.3).sum(), s)
    mixed = (0.7 * s + 0.3 * t).softmax(-1).detach()
    torch.testing.assert_close(found, s.softmax(-1).detach() - mixed)


def test_the_pace_of_taid_never_falls_and_never_lags_behind_the_line() -> None:
    pace, last, random = TaidPace(), 0.0, np.random.default_rng(0)
    for step in range(200):
        pace = next_pace(pace, float(random.uniform(0.1, 3)), step / 199)
        assert pace.t >= max(last, 0.4 + 0.6 * step / 199 - 1e-9) or step == 0
        assert pace.t <= 1.0
        last = pace.t
    assert last == 1.0
    slow, fast = (next_pace(TaidPace(0.5, m, 1.0), 1.0, 0.0).t for m in (-5.0, 5.0))
    assert fast > slow > 0.5


def test_uld_compares_sorted_probabilities_of_the_answers() -> None:
    s, t = draw(2, 4, 5, seed=1), draw(2, 3, 7)
    mask = torch.tensor([[False, True, True, True], [True, False, False, False]])
    target_mask = torch.tensor([[True, True, False], [False, False, True]])
    pairs = [[(1, 0), (2, 1)], [(0, 2)]]  # n-th token of the one answer and of the other; the longer one's rest is cut
    expected = []
    for row, tokens in enumerate(pairs):
        values = []
        for i, j in tokens:
            q = sorted(s[row, i].softmax(-1).tolist(), reverse=True) + [0.0, 0.0]
            p = sorted(t[row, j].softmax(-1).tolist(), reverse=True)
            values.append(sum(abs(a - b) for a, b in zip(q, p, strict=True)))
        expected.append(sum(values) / len(values))
    assert uld(s, t, mask=mask, target_mask=target_mask).tolist() == pytest.approx(expected)


def test_actions_are_the_last_256_ids_backwards_and_text_tokens_have_no_say() -> None:
    assert action_ids(32000)[[0, 255]].tolist() == [31999, 31744]
    s, t = draw(2, 3, 300, seed=1), draw(2, 3, 280)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    found = action_kl(s, t, token_ids=290, target_token_ids=280, mask=mask)
    p, q = t[..., 24:280].flip(-1).softmax(-1), s[..., 34:290].flip(-1).softmax(-1)
    torch.testing.assert_close(found, torch.stack([entropy(p, q)[0, :2].mean(), torch.tensor(0.0).double()]))
    bins = t[..., 24:280].flip(-1)
    torch.testing.assert_close(action_kl(s, bins, token_ids=290, mask=mask), found)
    for vocabulary in (None, 301):
        with pytest.raises(StageError, match="action_kl: the output has 300 logits a token"):
            action_kl(s, t, token_ids=vocabulary, target_token_ids=280)


def test_vkd_normalises_the_target_alone() -> None:
    s, t = draw(3, 6, seed=1), 5 + 3 * draw(3, 6)
    wanted = (t - t.mean(1, keepdim=True)) / t.var(1, keepdim=True, unbiased=False).add(1e-5).sqrt()
    gap = (s - wanted).abs()
    torch.testing.assert_close(vkd(s, t), torch.where(gap < 1, gap.square() / 2, gap - 0.5).mean(1))
    assert float(vkd(wanted, t).max()) < 1e-12


def test_srrl_is_judged_by_the_teachers_head() -> None:
    s, weight, bias, t = draw(3, 4, seed=1), draw(5, 4, seed=2), draw(5, seed=3), draw(3, 4)
    logits = t @ weight.T + bias
    torch.testing.assert_close(
        srrl(s, logits, weight=weight, bias=bias), ((s - t) @ weight.T).square().mean(1), rtol=1e-9, atol=1e-9
    )
    with pytest.raises(StageError, match="a projector to width 4"):
        srrl(draw(3, 6), logits, weight=weight)


@pytest.mark.parametrize("side", [1, 2, 4, 8])
def test_hcl_weighs_the_levels_that_are_smaller_than_the_map(side: int) -> None:
    s, t = draw(2, 3, side, side, seed=1), draw(2, 3, side, side)
    total, weight, weights = functional.mse_loss(s, t), 1.0, 1.0
    for level in (4, 2, 1):
        if level < side:
            weight /= 2
            weights += weight
            pooled = [functional.adaptive_avg_pool2d(x, level) for x in (s, t)]
            total = total + weight * functional.mse_loss(*pooled)
    torch.testing.assert_close(hcl(s, t).mean(), total / weights)


def test_tinybert_adds_hidden_states_and_scores_and_ignores_masked_ones() -> None:
    hidden = [(draw(2, 3, 4, seed=i), draw(2, 3, 4, seed=i + 10)) for i in range(2)]
    s, t = draw(2, 2, 3, 3, seed=5), draw(2, 2, 3, 3, seed=6)
    s[..., 2], t[..., 2] = -1e4, -1e9  # the key is masked on both sides, with other numbers
    expected = sum((a - b).square().mean(dim=(1, 2)) for a, b in hidden)
    expected = expected + (s - t)[..., :2].square().sum(dim=(1, 2, 3)) / (2 * 3 * 3)
    torch.testing.assert_close(tinybert_layers(hidden, [(s, t)]), expected)
    p, q = (t[:, 0, 0, :2] / 2).softmax(-1), (s[:, 0, 0, :2] / 2).softmax(-1)
    found = tinybert_prediction(s[:, 0, 0, :2], t[:, 0, 0, :2], temperature=2.0)
    torch.testing.assert_close(found, -(p * q.log()).sum(-1))


def test_rkd_equals_its_double_and_triple_sums() -> None:
    s, t = draw(5, 3, seed=1), draw(5, 4)

    def distances(x: Tensor) -> Tensor:
        found = torch.stack([torch.stack([(a - b).norm() for b in x]) for a in x])
        return found / found[found > 0].mean()

    def angle(x: Tensor, i: int, j: int, k: int) -> Tensor:
        a, b = x[j] - x[i], x[k] - x[i]
        return (a @ b) / (a.norm() * b.norm()) if i not in (j, k) else x.new_tensor(0.0)

    gaps = functional.smooth_l1_loss(distances(s), distances(t), reduction="none")
    torch.testing.assert_close(rkd_distance(s, t), gaps.mean(1))
    expected = [
        torch.stack(
            [functional.smooth_l1_loss(angle(s, i, j, k), angle(t, i, j, k)) for j in range(5) for k in range(5)]
        ).mean()
        for i in range(5)
    ]
    torch.testing.assert_close(rkd_angle(s, t), torch.stack(expected))


def test_sp_and_pkt_equal_the_reference_over_the_batch() -> None:
    s, t = draw(5, 3, seed=1), draw(5, 2, 2)
    g = [functional.normalize(x.flatten(1) @ x.flatten(1).T, dim=1) for x in (s, t)]
    torch.testing.assert_close(sp(s, t).mean(), (g[0] - g[1]).square().sum() / 25)
    similar = []
    for x in (s, t):
        unit = functional.normalize(x.flatten(1), dim=1)
        cosines = (unit @ unit.T + 1) / 2
        similar.append(cosines / cosines.sum(1, keepdim=True))
    q, p = similar
    torch.testing.assert_close(pkt(s, t).mean(), (p * ((p + 1e-7) / (q + 1e-7)).log()).mean())


def test_nst_equals_the_kernel_over_all_pairs_of_channels() -> None:
    s, t = draw(2, 3, 4, 4, seed=1), draw(2, 5, 2, 2)
    a = functional.normalize(functional.adaptive_avg_pool2d(s, 2).flatten(2), dim=2)
    b = functional.normalize(t.flatten(2), dim=2)

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x[:, None] * y[:, :, None]).sum(-1).square().mean(dim=(1, 2))

    torch.testing.assert_close(nst(s, t), kernel(a, a) + kernel(b, b) - 2 * kernel(a, b))


def test_crd_equals_the_authors_loss_and_leaves_out_the_own_sample() -> None:
    s, t, bank, samples, temperature = draw(3, 4, seed=1), draw(3, 4), draw(6, 4, seed=2), 50, 0.5
    a, b, c = (functional.normalize(x, dim=1) for x in (s, t, bank))
    z = (a @ c.T / temperature).exp().mean() * samples
    torch.testing.assert_close(crd_log_z(s, bank, samples=samples, temperature=temperature), z.log())
    noise = 6 / samples
    positive = ((a * b).sum(1) / temperature).exp() / z
    negative = (a @ c.T / temperature).exp() / z
    own = torch.zeros(3, 6, dtype=torch.bool)
    own[1, 2] = True
    log_d0 = (noise / (negative + noise)).log().masked_fill(own, 0.0)
    expected = -(positive / (positive + noise)).log() - log_d0.sum(1)
    torch.testing.assert_close(crd(s, t, bank, samples=samples, temperature=temperature, own=own), expected)
    given = crd(s, t, bank, samples=samples, temperature=temperature, own=own, log_z=float(z.log()))
    torch.testing.assert_close(given, expected)


def test_contrast_against_teacher_embeddings_is_cross_entropy_over_the_batch() -> None:
    image, text, t_image, t_text = (draw(4, 6, seed=i) for i in range(4))

    def one_way(a: Tensor, b: Tensor) -> Tensor:
        cosines = functional.normalize(a, dim=1) @ functional.normalize(b, dim=1).T
        return functional.cross_entropy(7 * cosines, torch.arange(4), reduction="none")

    torch.testing.assert_close(info_nce(image, t_text, scale=7.0), one_way(image, t_text))
    torch.testing.assert_close(
        icl(image, text, t_image, t_text, scale=7.0), (one_way(image, t_text) + one_way(text, t_image)) / 2
    )


def test_several_affinities_pull_as_one_teacher_with_the_mean_of_their_softmaxes() -> None:
    image, text = draw(4, 6, seed=1).requires_grad_(), draw(4, 6, seed=2)
    teachers = [(draw(4, 5, seed=3), draw(4, 5, seed=4), 10.0), (draw(4, 3, seed=5), draw(4, 3, seed=6), 20.0)]

    def rows(a: Tensor, b: Tensor, scale: float) -> Tensor:
        return scale * functional.normalize(a, dim=1) @ functional.normalize(b, dim=1).T

    (found,) = torch.autograd.grad(several_affinity(image, text, teachers, scale=15.0).sum(), image)
    student, taught = rows(image, text, 15.0), [rows(*teacher) for teacher in teachers]
    p = [mean_of_softmaxes(taught), mean_of_softmaxes([x.T for x in taught])]
    loss = (kl(student, p[0]) + kl(student.T, p[1])).sum() / 2
    torch.testing.assert_close(found, torch.autograd.grad(loss, image)[0])
    one = clip_affinity(image, text, *teachers[0][:2], scale=15.0, target_scale=10.0)
    torch.testing.assert_close(several_affinity(image, text, teachers[:1], scale=15.0), one)


def test_minilm_of_queries_keys_and_values_takes_heads_apart_rightly() -> None:
    s, t = draw(2, 3, 2, 5, 6, seed=1), draw(2, 3, 4, 5, 2)
    side = [torch.cat([x[:, part, h] for h in range(x.shape[2])], dim=-1) for part in range(3) for x in (s, t)]
    parts = [minilm(side[2 * part], side[2 * part + 1], heads=2) for part in range(3)]
    torch.testing.assert_close(minilm_qkv(s, t, heads=2), sum(parts) / 3)
    with pytest.raises(StageError, match="12 wide, which 5 relation heads do not divide"):
        minilm(side[0], side[0], heads=5)


def test_tokens_average_over_the_row_or_over_the_batch() -> None:
    s, t = draw(2, 4, 5, seed=1), draw(2, 4, 5)
    mask = torch.tensor([[True, True, True, False], [False, True, False, False]])
    each = entropy(t.softmax(-1), s.softmax(-1))
    torch.testing.assert_close(forward_kl(s, t, mask=mask), torch.stack([each[0, :3].mean(), each[1, 1]]))
    torch.testing.assert_close(forward_kl(s, t, mask=mask, average="batch").mean(), each[mask].mean())


def test_skewed_divergences_are_bounded() -> None:
    s, t = 100 * draw(5, 6, seed=1), 100 * draw(5, 6)
    for loss in (skewed_kl, skewed_reverse_kl):
        assert float(loss(s, t, alpha=0.1).max()) <= log(10) + 1e-9
        for alpha in (0.0, 1.0):
            with pytest.raises(StageError, match="alpha is"):
                loss(s, t, alpha=alpha)
