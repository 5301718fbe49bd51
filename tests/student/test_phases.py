"""Phases, schedules, balance, selection, averages, micro-batches: what they change, and that a stop changes nothing."""

from pathlib import Path
from typing import Any

import memory_stream as memory
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from teachercache.stages.errors import Interrupted, StageError
from teachercache.stages.student.files.history import read_history
from teachercache.stages.student.files.saved import load_student
from teachercache.stages.student.fleet import check_fleet, train_fleet
from teachercache.stages.student.objective.balance import GradientNorm, Uncertainty
from teachercache.stages.student.schedule import Ramp, Stairs, extremes, value_at
from teachercache.stages.student.spec import StudentSpec
from teachercache.stages.student.trial.rows import micro_batches
from teachercache.stages.student.trial.selection import Selection, drawn
from teachercache.stages.student.trial.trial import plan_trials

CPU = torch.device("cpu")
LABELS = {"loss": "cross_entropy", "weight": 0.5}
KL = {"loss": "kl", "signal": "logits", "temperature": 2.0}
HINT = {"loss": "mse", "output": "embedding", "signal": "embedding", "projector": "linear"}


class Plain(nn.Module):
    """Two linear layers; no state but its weights, so that rows do not know each other."""

    def __init__(self, classes: int, size: int) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(size * size, 8), nn.Linear(8, classes)
        self.seen: list[int] = []

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        hidden = self.body(inputs["pixel_values"].flatten(1)).relu()
        self.seen.append(len(hidden))
        return {"logits": self.head(hidden), "embedding": hidden}


def plain(**changes: Any) -> StudentSpec:
    return StudentSpec(**{"name": "plain", "use": f"{__name__}:Plain", "objective": (LABELS, KL), **changes})


def train(folder: Path, student: StudentSpec, steps: int = 12, **settings: Any) -> dict[str, dict[str, Tensor]]:
    """The weights of every trial of a student, by arm."""
    spec = memory.make_train(steps=steps, **settings)
    trials = plan_trials([student], spec)
    results = train_fleet(trials, memory.MemoryStream(spec), memory.SHAPE, folder, spec, CPU)
    assert [result.reason for result in results] == [None] * len(results)
    return {result.trial.arm: load_student(result.folder).state_dict() for result in results}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_one_phase_is_an_objective(tmp_path: Path) -> None:
    whole = memory.make_student()
    phased = memory.make_student(objective=(), phases=[{"name": "all", "share": 1.0, "objective": whole.objective}])
    assert same(train(tmp_path / "a", whole)["distilled"], train(tmp_path / "b", phased)["distilled"])


def test_what_a_phase_does_not_train_stays(tmp_path: Path) -> None:
    def phases(*trains: str) -> list[dict[str, Any]]:
        return [{"name": "only", "share": 1.0, "objective": [LABELS], "trains": trains}]

    whole = train(tmp_path / "a", plain(objective=(), phases=phases("*")), steps=1)["distilled"]
    head = train(tmp_path / "b", plain(objective=(), phases=phases("head.*")), steps=1)["distilled"]
    twice = train(tmp_path / "c", plain(objective=(), phases=phases("head.*")), steps=9)["distilled"]
    assert torch.equal(head["body.weight"], twice["body.weight"])
    assert not torch.equal(head["body.weight"], whole["body.weight"])
    assert not torch.equal(head["head.weight"], twice["head.weight"])


def test_phases_follow_each_other_with_their_own_terms_and_rates(tmp_path: Path) -> None:
    phases = [
        {"name": "hint", "share": 0.5, "objective": [HINT], "lr": 0.01, "warmup": 0},
        {"name": "answer", "share": 0.5, "objective": [LABELS, KL], "lr": 0.002, "warmup": 0},
    ]
    train(tmp_path, memory.make_student(objective=(), phases=phases), log_every=1)
    found = read_history(tmp_path / "small/distilled/seed-0/history.jsonl")
    assert [tuple(record["terms"]) for record in found[:6]] == [("mse:embedding",)] * 6
    assert [tuple(record["terms"]) for record in found[6:]] == [("cross_entropy:labels", "kl:logits")] * 6
    assert found[0]["lr"] == pytest.approx(0.01) and found[6]["lr"] == pytest.approx(0.002)
    assert found[5]["lr"] < 0.002


FADING = {"schedules": {"weight": {"shape": "cosine", "first": 1.0, "last": 0.1}}}
RICH = [
    {
        "name": "hint",
        "share": 0.4,
        "objective": [HINT, KL],
        "balance": "gradient-norm",
        "select": {"by": "entropy", "signals": ["logits"], "share": {"shape": "linear", "first": 0.3, "last": 1.0}},
    },
    {
        "name": "answer",
        "share": 0.6,
        "objective": [
            {"loss": "cross_entropy", "schedules": {"weight": {"shape": "cosine", "first": 1.0, "last": 0.1}}},
            KL,
        ],
        "balance": "uncertainty",
    },
]


@pytest.mark.parametrize("stops", [(2,), (5, 6), (9,)])
def test_a_trial_with_everything_continues_bit_for_bit(tmp_path: Path, stops: tuple[int, ...]) -> None:
    student = memory.make_student(objective=(), phases=RICH, optimizer={"ema": 0.9})
    spec = memory.make_train(checkpoint_every=100)
    trials, stream = plan_trials([student], spec), memory.MemoryStream(spec)
    for done, step in zip((0, *stops), stops, strict=False):
        left = iter([False] * (step - done - 1) + [True])
        with pytest.raises(Interrupted):
            train_fleet(trials, stream, memory.SHAPE, tmp_path / "a", spec, CPU, left.__next__)
    train_fleet(trials, stream, memory.SHAPE, tmp_path / "a", spec, CPU)
    train_fleet(trials, stream, memory.SHAPE, tmp_path / "b", spec, CPU)
    for arm in ("distilled", "random-selection"):
        a, b = (load_student(tmp_path / side / f"small/{arm}/seed-0").state_dict() for side in "ab")
        assert same(a, b)


def test_micro_batches_sum_up_to_the_whole_batch(tmp_path: Path) -> None:
    settings = {"labelled": {"count": 10, "per_batch": 5}, "batch_size": 16}
    whole = train(tmp_path / "a", plain(), **settings)["distilled"]
    parts = train(tmp_path / "b", plain(optimizer={"micro_batch": 3}), **settings)["distilled"]
    for name in whole:
        torch.testing.assert_close(whole[name], parts[name], rtol=1e-4, atol=1e-5)
    sizes = [len(part) for part in micro_batches(16, 3, CPU) if part is not None]
    assert sum(sizes) == 16 and max(sizes) <= 3 and max(sizes) - min(sizes) <= 1
    assert list(micro_batches(3, 3, CPU)) == [None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objective": ({"loss": "rkd", "output": "embedding", "signal": "embedding"},)}, "micro_batch"),
        ({"objective": ({**KL, "sample_weight": {"by": "entropy"}},)}, "micro_batch"),
        ({"balance": "uncertainty"}, "micro_batch"),
    ],
)
def test_what_needs_the_whole_batch_refuses_parts_of_it(change: dict[str, Any], message: str) -> None:
    spec = memory.make_train()
    trials = plan_trials([plain(optimizer={"micro_batch": 4}, **change)], spec)
    with pytest.raises(StageError, match=message):
        check_fleet(trials, memory.MemoryStream(spec), memory.SHAPE, spec)


def test_numbers_follow_their_schedule() -> None:
    ramp = Ramp(shape="linear", first=1.0, last=0.0, after=2, over=4)
    assert [value_at(ramp, step, 100) for step in (0, 2, 4, 6, 50)] == [1.0, 1.0, 0.5, 0.0, 0.0]
    whole = Ramp(shape="cosine", first=0.0, last=2.0)
    assert value_at(whole, 0, 11) == 0 and value_at(whole, 5, 11) == pytest.approx(1.0) and value_at(whole, 10, 11) == 2
    stairs = Stairs(shape="steps", at=(0, 10), values=(3.0, 1.0))
    assert [value_at(stairs, step, 20) for step in (0, 9, 10, 19)] == [3.0, 3.0, 1.0, 1.0]
    assert extremes(ramp) == (0.0, 1.0) and extremes(stairs) == (1.0, 3.0) and extremes(2.0) == (2.0, 2.0)
    assert value_at(0.25, 7, 9) == 0.25


def test_a_weight_that_falls_to_nothing_takes_its_term_out(tmp_path: Path) -> None:
    gone = {**KL, "schedules": {"weight": {"shape": "steps", "at": [0], "values": [0.0]}}}
    with_it = train(tmp_path / "a", plain(objective=(LABELS, gone)))["distilled"]
    assert same(with_it, train(tmp_path / "b", plain(objective=(LABELS,)))["distilled"])
    ramp = {**KL, "schedules": {"weight": {"shape": "linear", "first": 1.0, "last": 0.0}}}
    assert not same(with_it, train(tmp_path / "c", plain(objective=(LABELS, ramp)))["distilled"])


def test_a_selection_is_nested_keeps_the_labelled_and_is_never_empty() -> None:
    draw = drawn(50, 2, 0)
    rows = np.arange(100)
    few, more = (set(draw.rows(rows, share, 0).tolist()) for share in (0.2, 0.6))
    assert len(few) == 20 and len(more) == 60 and few < more
    assert all((row ^ 1) in few for row in few)  # both views of a sample
    assert set(range(7)) <= set(draw.rows(rows, 0.1, 7).tolist())
    last = Selection(np.array([0.9, 0.8]), 1)
    assert last.rows(np.array([0, 1]), 0.1, 0).tolist() == [1]


def test_a_student_that_selects_is_trained_on_drawn_samples_too(tmp_path: Path) -> None:
    select = {"by": "margin", "signals": ["logits"], "share": 0.5, "favour": "unsure"}
    found = train(tmp_path, plain(select=select), controls=("labels-only",))
    assert list(found) == ["distilled", "labels-only", "random-selection"]
    assert not same(found["distilled"], found["random-selection"])


def test_a_selection_takes_the_samples_that_the_teacher_is_sure_of(tmp_path: Path) -> None:
    spec = memory.make_train(steps=6)
    stream = memory.MemoryStream(spec)
    logits = stream.values["logits"].double()
    top = logits.softmax(-1).topk(2).values
    margin = (top[:, 0] - top[:, 1]).numpy()
    stream.values["logits"][torch.from_numpy(margin < np.median(margin))] = float("nan")  # would ruin every weight
    stream.sureness = lambda measure: margin  # type: ignore[method-assign]
    student = plain(objective=(KL,), select={"by": "margin", "signals": ["logits"], "share": 0.5})
    trials = [trial for trial in plan_trials([student], spec) if trial.arm == "distilled"]
    (result,) = train_fleet(trials, stream, memory.SHAPE, tmp_path, spec, CPU)
    assert result.status == "finished"


def test_uncertainty_finds_the_variance_of_each_term() -> None:
    balance = Uncertainty(2)
    optimizer = torch.optim.Adam(balance.parameters(), lr=0.05)
    for _ in range(600):
        optimizer.zero_grad()
        balance([torch.tensor(4.0), torch.tensor(0.25)]).backward()
        optimizer.step()
    # d/ds (exp(-s) L + s / 2) = 0 where exp(s) = 2 L
    torch.testing.assert_close(balance.log_variances.exp(), torch.tensor([8.0, 0.5]), rtol=1e-3, atol=1e-3)


def test_gradient_norms_become_equal_where_terms_fall_alike() -> None:
    balance, weight = GradientNorm(2), torch.ones(3, requires_grad=True)
    for _ in range(60):
        balance.look([100 * weight.square().sum(), weight.square().sum()], [weight])
    pulls = balance.weights * torch.tensor([100.0, 1.0])
    torch.testing.assert_close(pulls[0], pulls[1], rtol=1e-3, atol=0)
    assert float(balance.weights.sum()) == pytest.approx(2.0)


def test_the_average_of_the_weights_is_what_is_saved(tmp_path: Path) -> None:
    plainly = train(tmp_path / "a", plain())["distilled"]
    averaged = train(tmp_path / "b", plain(optimizer={"ema": 0.99}))["distilled"]
    assert not same(plainly, averaged)


class Spoilt(Plain):
    """Its gradient, and nothing else, is NaN in one step."""

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        found = super().forward(inputs)
        if self.training and len(self.seen) == 4:
            found["logits"].register_hook(lambda gradient: gradient * float("nan"))
        return found


def test_a_gradient_that_is_not_finite_changes_nothing_and_is_counted(tmp_path: Path) -> None:
    student = plain(use=f"{__name__}:Spoilt", optimizer={"weight_decay": 0.0})
    found = train(tmp_path, student, log_every=1)["distilled"]
    assert all(values.isfinite().all() for values in found.values())
    assert read_history(tmp_path / "plain/distilled/seed-0/history.jsonl")[-1]["skipped"] == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": (), "phases": None}, "objective, its terms, or phases"),
        ({"phases": [{"name": "a", "share": 1.0, "objective": [LABELS]}]}, "one of the two"),
        ({"objective": (), "phases": [{"name": "a", "share": 0.5, "objective": [LABELS]}]}, "sum to 0.5"),
        ({"select": {"by": "random", "signals": ["logits"]}}, "random takes none"),
        ({"select": {"by": "entropy", "signals": ["logits"], "share": 1.5}}, "at most 1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plain(**settings)


def test_a_pattern_that_names_no_parameter_is_an_error() -> None:
    spec = memory.make_train()
    phases = [{"name": "tower", "share": 1.0, "objective": [LABELS], "trains": ["bodi.*"]}]
    with pytest.raises(StageError, match=r"students\.plain\.phases\.tower\.trains: .*'bodi\.\*'"):
        check_fleet(
            plan_trials([plain(objective=(), phases=phases)], spec), memory.MemoryStream(spec), memory.SHAPE, spec
        )
