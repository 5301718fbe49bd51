"""Terms meet their signals as the settings say, or are refused before the first step with what to do."""

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from teachercache.cache import SignalSchema
from teachercache.cache.codecs import Packing
from teachercache.stages.errors import StageError
from teachercache.stages.student.losses import cosine, cross_entropy, kl, mse
from teachercache.stages.student.objective.objective import Objective, build_objective
from teachercache.stages.student.spec import StudentSpec
from teachercache.stages.student.trial.arms import Lesson, lesson
from teachercache.stages.student.trial.trial import Trial, needed_signals, needs_labels, needs_shuffled, plan_trials

OUTPUTS = {"logits": (5,), "embedding": (8,), "hidden.1": (10, 8), "attention.0": (4, 10, 10), "map": (6, 3, 3)}


def schema(
    name: str, shape: tuple[int, ...], codec: str = "f16", reduce: str = "none", **parameters: Any
) -> SignalSchema:
    return SignalSchema(name, codec, parameters, shape, reduce=reduce)


SIGNALS = {
    s.name: s
    for s in [
        schema("logits", (5,)),
        schema("top", (5,), "topk", k=3, temperatures=[1.0, 2.0]),
        schema("wide", (7,)),
        schema("tokens", (10, 12)),
        schema("cls", (8,), reduce="cls"),
        schema("attention", (2, 10, 10)),
        schema("mean-attention", (10, 10), reduce="head-mean"),
        schema("grid", (9, 3, 3)),
    ]
}


def student(*objective: dict[str, Any], **changes: Any) -> StudentSpec:
    return StudentSpec(name="tiny", use="cnn", objective=objective, **changes)


def build(*objective: dict[str, Any], arm: Any = "distilled", seed: int = 0) -> Objective:
    return build_objective(Trial(student(*objective), arm, seed), OUTPUTS, SIGNALS, 5)


def outputs(rows: int = 4) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    found = {name: torch.randn(rows, *shape, generator=draw) for name, shape in OUTPUTS.items()}
    return {**found, "attention.0": found["attention.0"].softmax(-1)}


def targets(rows: int = 4) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    found = {name: torch.randn(rows, *s.shape, generator=draw) for name, s in SIGNALS.items() if s.codec != "topk"}
    return {name: values.softmax(-1) if "attention" in name else values for name, values in found.items()}


LESSON = Lesson(4, torch.tensor([1, 3, -1, -1]), 2, targets())


def test_the_loss_is_the_weighted_sum_and_labels_count_on_labelled_rows_only() -> None:
    objective = build(
        {"loss": "cross_entropy", "weight": 0.3, "label_smoothing": 0.1},
        {"loss": "kl", "signal": "logits", "weight": 2.0, "temperature": 4.0},
    )
    loss, terms = objective(outputs(), LESSON)
    logits = outputs()["logits"]
    ce = cross_entropy(logits[:2], torch.tensor([1, 3]), label_smoothing=0.1).mean()
    soft = kl(logits, targets()["logits"], temperature=4.0).mean()
    assert list(terms) == ["cross_entropy:labels", "kl:logits"]
    torch.testing.assert_close(list(terms.values()), [ce, soft])
    torch.testing.assert_close(loss, 0.3 * ce + 2.0 * soft)


def test_terms_of_one_loss_and_signal_keep_names_of_their_own() -> None:
    objective = build({"loss": "kl", "signal": "logits"}, {"loss": "kl", "signal": "logits", "temperature": 2.0})
    assert [term.name for term in objective.terms] == ["kl:logits", "kl:logits#2"]


def test_an_output_is_reduced_as_its_signal_was() -> None:
    objective = build(
        {"loss": "attention_mse", "output": "attention.0", "signal": "mean-attention"},
        {"loss": "mse", "output": "hidden.1", "signal": "cls"},
        {"loss": "cosine", "output": "embedding", "signal": "cls"},
    )
    _, terms = objective(outputs(), LESSON)
    expected = [
        (outputs()["attention.0"].mean(1) - targets()["mean-attention"]).square().mean(),
        mse(outputs()["hidden.1"][:, 0], targets()["cls"]).mean(),
        cosine(outputs()["embedding"], targets()["cls"]).mean(),
    ]
    torch.testing.assert_close(list(terms.values()), expected)


@pytest.mark.parametrize(
    ("output", "signal", "axis"), [("embedding", "wide", 1), ("hidden.1", "tokens", 2), ("map", "grid", 1)]
)
def test_a_projector_maps_the_feature_axis_and_trains(output: str, signal: str, axis: int) -> None:
    objective = build({"loss": "mse", "output": output, "signal": signal, "projector": "linear"})
    loss, _ = objective(outputs(), LESSON)
    weight, bias = objective.parameters()
    projected = torch.tensordot(outputs()[output], weight, dims=([axis], [1])).add(bias).movedim(-1, axis)
    torch.testing.assert_close(loss, mse(projected, targets()[signal]).mean())
    loss.backward()
    assert weight.grad is not None and weight.grad.abs().sum() > 0


def test_a_projector_depends_on_the_seed_alone() -> None:
    term = {"loss": "mse", "output": "embedding", "signal": "wide", "projector": "linear"}
    state = torch.get_rng_state()
    first, other = build(term), build(term, seed=1)
    torch.manual_seed(99)
    again = build(term, arm="shuffled-cache")
    torch.testing.assert_close(list(first.parameters()), list(again.parameters()), rtol=0, atol=0)
    assert not torch.equal(next(first.parameters()), next(other.parameters()))
    torch.set_rng_state(state)


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (
            {"loss": "kl", "signal": "logit"},
            r"objective\.1 \(kl\): the cache has no signal 'logit', did you mean 'logits'",
        ),
        ({"loss": "kl"}, "kl needs a signal; the cache has logits, top"),
        ({"loss": "mse", "output": "embeding", "signal": "cls"}, "no output 'embeding', did you mean 'embedding'"),
        (
            {"loss": "mse", "output": "embedding", "signal": "wide"},
            r"\(8,\) and signal 'wide' is \(7,\); `projector: linear`",
        ),
        ({"loss": "kl", "output": "embedding", "signal": "logits"}, r"output 'embedding' is \(8,\)"),
        ({"loss": "mse", "output": "hidden.1", "signal": "wide"}, r"\(10, 8\) and signal 'wide' is \(7,\)$"),
        (
            {"loss": "mse", "output": "hidden.1", "signal": "wide", "projector": "linear"},
            "a projector changes the width alone",
        ),
        ({"loss": "attention_kl", "output": "attention.0", "signal": "attention"}, "`reduce: head-mean`"),
        ({"loss": "attention_kl", "output": "embedding", "signal": "cls"}, "is no attention"),
        ({"loss": "attention_kl", "output": "embedding", "signal": "mean-attention"}, "attention .B, heads, T, T."),
        ({"loss": "kl", "signal": "top", "temperature": 3.0}, "no exact tail at temperature 3, only at 1, 2"),
        ({"loss": "mse", "output": "logits", "signal": "top"}, "keeps the top 3 entries alone; use kl"),
        ({"loss": "cross_entropy", "signal": "logits"}, "reads the labels and no signal"),
        ({"loss": "cross_entropy", "output": "embedding"}, "there are 5 classes"),
        ({"loss": "mse", "signal": "logits", "temperature": 2.0}, "mse takes no temperature"),
        (
            {"loss": "kl", "signal": "logits", "projector": "linear"},
            "kl takes no projector; these do: mse, cosine, clip_fd",
        ),
    ],
)
def test_what_cannot_meet_is_refused_with_its_place(term: dict[str, Any], message: str) -> None:
    with pytest.raises(StageError, match=message) as raised:
        build({"loss": "cross_entropy", "weight": 0.25}, term)
    assert str(raised.value).startswith("students.tiny.objective.1")


def test_top_k_signals_meet_kl_at_a_stored_temperature() -> None:
    build({"loss": "kl", "signal": "top", "temperature": 2.0})


def test_labels_only_keeps_cross_entropy_alone() -> None:
    objective = build({"loss": "kl", "signal": "logits"}, {"loss": "cross_entropy"}, arm="labels-only")
    assert [term.name for term in objective.terms] == ["cross_entropy:labels"]


def test_labels_only_without_cross_entropy_is_refused() -> None:
    with pytest.raises(
        StageError, match=r"students\.tiny: the control labels-only keeps only terms that read no signal"
    ):
        build({"loss": "kl", "signal": "logits"}, arm="labels-only")


def test_each_arm_sees_its_part_of_the_batch(memory: ModuleType) -> None:
    train = memory.make_train(labelled={"count": 20, "per_batch": 6})
    batch = next(memory.MemoryStream(train).batches(3, 4))
    distilled, shuffled, labels = (lesson(batch, arm) for arm in ("distilled", "shuffled-cache", "labels-only"))
    assert (distilled.rows, distilled.labelled) == (16, 6) and distilled.signals is batch.signals
    assert (shuffled.rows, shuffled.labelled) == (16, 6) and shuffled.signals is batch.shuffled
    assert (labels.rows, labels.labelled) == (6, 6) and labels.signals == {}
    assert not torch.equal(batch.signals["logits"], batch.shuffled["logits"])


def test_trials_are_students_by_arms_by_seeds(memory: ModuleType) -> None:
    train = memory.make_train(seeds=(0, 4), controls=("labels-only",))
    control = memory.make_student("alone", control="shuffled-cache")
    names = [trial.name for trial in plan_trials([memory.make_student(), control], train)]
    assert names == [
        "small/distilled/seed-0",
        "small/distilled/seed-4",
        "small/labels-only/seed-0",
        "small/labels-only/seed-4",
        "alone/shuffled-cache/seed-0",
        "alone/shuffled-cache/seed-4",
    ]


def test_only_the_signals_that_some_trial_reads_are_needed() -> None:
    one = student({"loss": "kl", "signal": "logits"}, {"loss": "mse", "output": "embedding", "signal": "cls"})
    two = student({"loss": "cross_entropy"}, {"loss": "kl", "signal": "logits"})
    distilled = [Trial(one, "distilled", 0), Trial(two, "distilled", 0)]
    assert needed_signals(distilled) == ("logits", "cls")
    assert needed_signals([Trial(two, "labels-only", 0)]) == ()
    assert needs_labels(distilled) and not needs_labels(distilled[:1])
    assert needs_shuffled([Trial(one, "shuffled-cache", 0)]) and not needs_shuffled(distilled)


def test_a_signal_whose_rows_differ_in_length_is_refused_by_losses_that_would_read_its_padding() -> None:
    packed = SignalSchema("text", "f16", {}, (10, 8), packing=Packing((0,)))
    trial = Trial(student({"loss": "clip_fd", "output": "hidden.1", "signal": "text"}), "distilled", 0)
    with pytest.raises(StageError, match="rows of signal 'text' differ in the tokens that count, and clip_fd takes no"):
        build_objective(trial, OUTPUTS, {"text": packed}, 5)


def test_an_output_is_met_at_the_row_of_its_first_token() -> None:
    signal = SignalSchema("row", "u8sqrt", {}, (4, 10), reduce="cls-row")
    trial = Trial(student({"loss": "attention_mse", "output": "attention.0", "signal": "row"}), "distilled", 0)
    target = outputs()["attention.0"][:, :, 0] * 0.5
    loss, _ = build_objective(trial, OUTPUTS, {"row": signal}, 5)(
        outputs(), Lesson(4, LESSON.labels, 2, {"row": target})
    )
    torch.testing.assert_close(loss, (target**2).mean())
