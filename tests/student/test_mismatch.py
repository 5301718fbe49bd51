"""Layers, heads, width, tokens and vocabularies that differ are brought together as asked for by name, or refused."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from teachercache.stages.errors import StageError
from teachercache.stages.student.losses.layers.pyramid import hcl
from teachercache.stages.student.losses.tokens.divergence import forward_kl
from teachercache.stages.student.mismatch.fusion import ReviewFusion
from teachercache.stages.student.mismatch.heads import met_heads
from teachercache.stages.student.mismatch.layers import layer_map
from teachercache.stages.student.mismatch.tokens import PatchGrid, resample, square_grid, to_map
from teachercache.stages.student.mismatch.vocabulary import buckets, shared_ids
from teachercache.stages.student.mismatch.width import OrthogonalProjector, PrincipalAxes, build_projector


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_layers_are_mapped_as_published() -> None:
    assert layer_map(4, 12, "uniform") == (3, 6, 9, 12)  # TinyBERT-4: g(m) = 3 m
    assert layer_map(6, 12, "uniform") == (2, 4, 6, 8, 10, 12)
    assert layer_map(5, 12, "uniform") == (2, 5, 7, 10, 12)
    assert layer_map(4, 6, "uniform") == (2, 3, 5, 6)  # 1.5 and 4.5 go up: Python's round would give 2, 3, 4, 6
    assert layer_map(3, 12, "last-k") == (10, 11, 12)
    assert layer_map(3, 12, [1, 6, 12]) == (1, 6, 12)


@given(student=st.integers(1, 60), more=st.integers(0, 60), how=st.sampled_from(["uniform", "last-k"]))
def test_a_layer_map_rises_and_ends_at_the_top(student: int, more: int, how: str) -> None:
    found = layer_map(student, student + more, how)
    assert len(found) == student == len(set(found))
    assert list(found) == sorted(found) and found[0] >= 1 and found[-1] == student + more


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5, 4, "uniform"), "a student of 5 layers cannot learn layer by layer from 4"),
        ((0, 4, "uniform"), "a student of 0 layers"),
        ((2, 4, "skip"), "no 'skip'; use uniform, last-k, or a list"),
        ((2, 4, [1, 2, 3]), "has 3 layers, the student has 2"),
        ((2, 4, [0, 4]), r"layers 1 to 4, and the list names \[0\]"),
        ((2, 4, [3, 3]), "must rise"),
    ],
)
def test_a_layer_map_that_does_not_fit_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(StageError, match=message):
        layer_map(*arguments)


def test_heads_are_averaged_on_both_sides_or_refused() -> None:
    output, target = draw(2, 4, 5, 5), draw(2, 3, 5, 5, seed=1)
    for kept in (target, target.mean(1)):
        s, t = met_heads(output, kept, "head-mean")
        torch.testing.assert_close(s, output.mean(1))
        torch.testing.assert_close(t, target.mean(1))
    assert met_heads(output, output)[0] is output
    for other, how, message in (
        (target, "equal", "head-mean, or learn relations"),
        (draw(2, 1, 5, 5), "equal", "the student has 4"),
        (draw(2, 4, 6, 6), "head-mean", "5 tokens and the signal 6"),
        (draw(2, 5), "head-mean", "attention is"),
    ):
        with pytest.raises(StageError, match=message):
            met_heads(output, other, how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("student", "signal"), [((4,), (7,)), ((7,), (4,)), ((5, 5), (5, 5)), ((3, 4), (3, 9)), ((4, 3, 3), (6, 3, 3))]
)
def test_an_orthogonal_projector_stays_orthogonal_while_it_trains(student: Any, signal: Any) -> None:
    projector = build_projector("orthogonal", student, signal, seed=3)
    assert isinstance(projector, OrthogonalProjector)
    values, wanted = draw(16, *student).float(), draw(16, *signal, seed=1).float()
    optimizer = torch.optim.SGD(projector.parameters(), lr=0.5)
    before = projector.linear.weight.detach().clone()
    for _ in range(5):
        optimizer.zero_grad()
        found = projector(values)
        assert found.shape == wanted.shape
        (found - wanted).square().mean().backward()
        optimizer.step()
    weight = projector.linear.weight.detach()
    assert (weight - before).abs().max() > 1e-3
    narrow = weight if weight.shape[0] <= weight.shape[1] else weight.T
    torch.testing.assert_close(narrow @ narrow.T, torch.eye(len(narrow)), rtol=0, atol=1e-5)


def test_a_widening_orthogonal_projector_keeps_distances() -> None:
    projector = build_projector("orthogonal", (6,), (11,), seed=0)
    values = draw(8, 6).float()
    torch.testing.assert_close(torch.cdist(projector(values), projector(values)), torch.cdist(values, values))


@pytest.mark.parametrize("how", ["linear", "orthogonal"])
def test_a_projector_depends_on_its_seed_alone_and_survives_a_checkpoint(how: Any) -> None:
    state = torch.get_rng_state()
    first = build_projector(how, (4,), (6,), seed=1)
    torch.testing.assert_close(torch.get_rng_state(), state, rtol=0, atol=0)
    torch.manual_seed(99)
    again, other = build_projector(how, (4,), (6,), seed=1), build_projector(how, (4,), (6,), seed=2)
    values = draw(3, 4).float()
    torch.testing.assert_close(first(values), again(values), rtol=0, atol=0)
    assert not torch.equal(first(values), other(values))
    other.load_state_dict(first.state_dict())
    torch.testing.assert_close(other(values), first(values), rtol=0, atol=1e-6)
    torch.set_rng_state(state)
    with pytest.raises(StageError, match="differ in more than the width"):
        build_projector(how, (4, 3), (5, 6), seed=0)


def test_principal_axes_are_those_of_the_cache_and_are_not_trained() -> None:
    values = draw(200, 2) @ draw(2, 6, seed=1) + draw(6, seed=2)  # two directions, and a mean
    mean = values.mean(0)
    basis = torch.linalg.svd(values - mean, full_matrices=False).Vh[:2].T
    axes = PrincipalAxes(mean, basis)
    assert not list(axes.parameters()) and axes(values).shape == (200, 2)
    torch.testing.assert_close(axes(values) @ basis.T + mean, values)
    for bad in (basis * 2, basis[:, :1].expand(-1, 2), basis.T):
        with pytest.raises(StageError, match="principal axes"):
            PrincipalAxes(mean, bad)


def test_patches_are_resampled_on_the_grid_and_class_tokens_are_dropped() -> None:
    tokens = draw(2, 1 + 16, 3)
    grid = square_grid(17)
    assert grid == PatchGrid(4, 4, 1)
    torch.testing.assert_close(to_map(tokens, grid)[1, 2, 3, 1], tokens[1, 1 + 3 * 4 + 1, 2])
    torch.testing.assert_close(resample(tokens, grid, grid), tokens[:, 1:])
    ramp = torch.arange(4.0).repeat(4, 1).flatten().view(1, 16, 1)  # a linear picture stays one
    wider = resample(ramp, PatchGrid(4, 4, 0), PatchGrid(4, 8, 0)).view(4, 8)
    torch.testing.assert_close(wider[0, 1:7], torch.arange(0.25, 3, 0.5))
    constant = torch.full((1, 16, 2), 3.0)
    for side in (2, 3, 7):
        torch.testing.assert_close(
            resample(constant, PatchGrid(4, 4, 0), PatchGrid(side, side)), torch.full((1, side * side, 2), 3.0)
        )


def test_shrinking_skips_no_patch() -> None:
    tokens = torch.zeros(1, 64, 1)
    for place in range(64):
        one = tokens.clone()
        one[0, place] = 1.0
        assert float(resample(one, PatchGrid(8, 8, 0), PatchGrid(2, 2, 0)).sum()) > 0.01


@pytest.mark.parametrize(("tokens", "special"), [(12, 1), (1, 1), (50, 0), (17, 2)])
def test_text_has_no_grid(tokens: int, special: int) -> None:
    with pytest.raises(StageError, match="make no square grid; name the grid, and do not resample text"):
        square_grid(tokens, special)
    with pytest.raises(StageError, match="as the grid has them"):
        to_map(draw(2, 12, 3), PatchGrid(3, 3, 1))


STUDENT = {"<s>": 0, "cat": 1, "dog": 2, "bird": 3}
TEACHER = {"dog": 0, "<s>": 5, "fish": 1, "cat": 3, "cow": 2, "bee": 4}


def test_vocabularies_meet_by_their_strings() -> None:
    own, other = shared_ids(STUDENT, TEACHER)
    assert own.tolist() == [0, 1, 2] and other.tolist() == [5, 3, 0]
    with pytest.raises(StageError, match="3 of the student's 4 tokens .* use the loss uld"):
        shared_ids(STUDENT, TEACHER, at_least=0.9)
    with pytest.raises(StageError, match="0 of the student's 1"):
        shared_ids({"x": 0}, TEACHER, at_least=0.0)


def test_buckets_are_probabilities_and_bound_the_divergence_from_below() -> None:
    logits = draw(3, 2, 6)
    ids = torch.tensor([5, 3, 0])
    found = buckets(logits, ids).exp()
    p = logits.softmax(-1)
    torch.testing.assert_close(found[..., :3], p[..., ids])
    torch.testing.assert_close(found[..., 3], p[..., [1, 2, 4]].sum(-1))
    alone = buckets(logits, ids, rest=False).exp()
    torch.testing.assert_close(alone, p[..., ids] / p[..., ids].sum(-1, keepdim=True))
    other = draw(3, 2, 6, seed=1)
    whole, bounded = forward_kl(other, logits), forward_kl(buckets(other, ids), buckets(logits, ids))
    assert (bounded <= whole + 1e-12).all() and (bounded > 0).all()


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([6], "between 0 and 5"),
        ([-1], "between 0 and 5"),
        ([], "must be some"),
        ([1, 1], "twice"),
        (range(6), "rest=False"),
    ],
)
def test_ids_that_do_not_fit_are_refused(ids: Any, message: str) -> None:
    with pytest.raises(StageError, match=message):
        buckets(draw(2, 6), torch.tensor(list(ids), dtype=torch.int64))


def test_review_fusion_gives_maps_of_the_teachers_shapes_and_trains_every_weight() -> None:
    student, teacher = [(4, 8, 8), (6, 4, 4), (8, 2, 2)], [(5, 16, 16), (7, 4, 4), (9, 2, 2)]
    fusion = ReviewFusion(student, teacher, middle=3, seed=1)
    maps = [draw(2, *shape, seed=i).float() for i, shape in enumerate(student)]
    found = fusion(maps)
    assert [tuple(x.shape[1:]) for x in found] == teacher
    targets = [draw(2, *shape, seed=i + 5).float() for i, shape in enumerate(teacher)]
    sum(hcl(f, t).mean() for f, t in zip(found, targets, strict=True)).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in fusion.parameters())
    again = ReviewFusion(student, teacher, middle=3, seed=1)
    for a, b in zip(fusion.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    with torch.no_grad():  # the deepest map reaches the shallowest result
        maps[2] += 1
        assert not torch.equal(again.eval()(maps)[0], fusion.eval()([*maps[:2], maps[2] - 1])[0])
    for wrong in (lambda: fusion(maps[:2]), lambda: ReviewFusion(student, teacher[:2])):
        with pytest.raises(StageError, match="review"):
            wrong()
