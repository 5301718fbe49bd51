"""What a term may learn from beside one signal: several teachers, its own pairs and outputs, label fields; and how rows
are weighed by what teachers said."""

from math import log
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from teachercache.cache import SampledTargets, SignalSchema, SparseLogits
from teachercache.cache.codecs import build_codec
from teachercache.stages.errors import StageError
from teachercache.stages.student.inputs.labels import LabelShape
from teachercache.stages.student.losses import cross_entropy, kl, mse
from teachercache.stages.student.losses.layers.regression import huber, smooth_l1
from teachercache.stages.student.losses.relation.affinity import clip_affinity, several_affinity
from teachercache.stages.student.losses.relation.bank import crd
from teachercache.stages.student.losses.relation.contrast import clip_contrastive, icl
from teachercache.stages.student.losses.response.ensemble import ensemble_kl
from teachercache.stages.student.objective.objective import Objective, build_objective
from teachercache.stages.student.objective.sample_weight import sample_weights
from teachercache.stages.student.objective.spec import SampleWeightSpec
from teachercache.stages.student.spec import StudentSpec
from teachercache.stages.student.trial.arms import Lesson
from teachercache.stages.student.trial.rows import as_parts, lesson_rows
from teachercache.stages.student.trial.trial import Trial, needed_signals

ROWS = 6
OUTPUTS = {"logits": (5,), "early": (5,), "image": (4,), "text": (4,), "offset": (2,), "size": (1,), "tokens": (3, 5)}
FIELDS = {
    "cell": LabelShape((), "int64", -1, 4),
    "click": LabelShape((2,), "float32", 0, 1),
    "age": LabelShape((), "float32", 0, 90),
    "words": LabelShape((3,), "int64", -1, 4),
    "many": LabelShape((), "int64", 0, 7),
}
SIGNALS = {
    name: SignalSchema(name, codec, {"k": 3, "temperatures": [1.0], "entropy": True} if codec != "f32" else {}, shape)
    for name, codec, shape in [
        ("one", "f32", (5,)),
        ("two", "f32", (5,)),
        ("top", "topk", (5,)),
        ("sampled", "pps", (5,)),
        ("image", "f32", (6,)),
        ("text", "f32", (6,)),
        ("image.b", "f32", (3,)),
        ("text.b", "f32", (3,)),
    ]
}


class Kept:
    samples = 20

    def __init__(self, scale: float | None = log(30)) -> None:
        self._scale = scale

    def constant(self, name: str) -> np.ndarray | None:
        return np.array(self._scale, np.float32) if name == "logit_scale" and self._scale is not None else None

    def bank(self, signal: str, rows: int, seed: int) -> tuple[Tensor, Tensor]:
        return draw(rows, *SIGNALS[signal].shape, seed=77), torch.arange(rows)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(*terms: dict[str, Any], arm: Any = "distilled", kept: Kept | None = None) -> Objective:
    trial = Trial(StudentSpec(name="tiny", use="cnn", objective=terms), arm, 0)
    return build_objective(trial, OUTPUTS, SIGNALS, 5, FIELDS, kept=kept or Kept())


def outputs() -> dict[str, Tensor]:
    return {name: draw(ROWS, *shape, seed=i) for i, (name, shape) in enumerate(OUTPUTS.items())}


def said() -> dict[str, Any]:
    dense = {name: draw(ROWS, *schema.shape, seed=50 + i) for i, (name, schema) in enumerate(SIGNALS.items())}
    for name, codec in (("top", "topk"), ("sampled", "pps")):
        built = build_codec(codec, {"k": 3, "temperatures": [1.0], **({"entropy": True} if codec == "topk" else {})})
        dense[name] = built.decode(built.encode(dense[name]), (5,))
    return dense


LABELS = torch.tensor([0, 1, 2, -1, -1, -1])
VALUES = {
    "cell": torch.tensor([0, 4, -1, 2, 0, 0]),
    "click": torch.rand(ROWS, 2, generator=torch.Generator().manual_seed(1)),
    "age": torch.tensor([1.0, 50.0, 3.0, 0.0, 0.0, 0.0]),
    "words": torch.tensor([[0, 1, 2], [3, -1, -1], [-1, -1, -1], [0, 0, 0], [0, 0, 0], [0, 0, 0]]),
}


def lesson(labelled: int = 4) -> Lesson:
    return Lesson(ROWS, LABELS, labelled, said(), VALUES, samples=torch.arange(ROWS))


def value(*terms: dict[str, Any], labelled: int = 4, **options: Any) -> Tensor:
    found: Tensor = build(*terms, **options)(outputs(), lesson(labelled))[0]
    return found


def test_several_teachers_are_heard_as_the_mean_of_their_softmaxes() -> None:
    given, signals = outputs(), said()
    term = {"loss": "ensemble_kl", "signals": ["one", "two"], "temperature": 2.0}
    both = [signals["one"], signals["two"]]
    torch.testing.assert_close(value(term), ensemble_kl(given["logits"], both, temperature=2.0).mean())
    mostly = ensemble_kl(given["logits"], both, weights=torch.tensor([3.0, 1.0]), temperature=2.0).mean()
    torch.testing.assert_close(value({**term, "shares": [3, 1]}), mostly)


def test_image_and_text_meet_those_of_one_teacher_or_several() -> None:
    given, signals = outputs(), said()
    image, text = given["image"], given["text"]
    pair = {"outputs": ["image", "text"]}
    own = clip_contrastive(image, text, scale=3.0).mean()
    torch.testing.assert_close(value({"loss": "clip_contrastive", **pair, "scale": 3.0}), own)
    affinity = {"loss": "clip_affinity", **pair, "signals": ["image", "text"]}
    theirs = (signals["image"], signals["text"])
    wanted = clip_affinity(image, text, *theirs, scale=30.0, target_scale=30.0).mean()
    torch.testing.assert_close(value(affinity), wanted)  # the teacher's own scale, a constant of the cache
    two = {**affinity, "signals": ["image", "text", "image.b", "text.b"], "scale": 10.0, "target_scale": 20.0}
    teachers = [(*theirs, 20.0), (signals["image.b"], signals["text.b"], 20.0)]
    torch.testing.assert_close(value(two), several_affinity(image, text, teachers, scale=10.0).mean())
    term = {"loss": "icl", **pair, "signals": ["image", "text"], "projector": "linear", "scale": 5.0}
    objective = build(term)
    first, second = objective.projectors.values()
    found, _ = objective(given, lesson())
    torch.testing.assert_close(found, icl(first(image), second(text), *theirs, scale=5.0).mean())
    assert not torch.equal(next(first.parameters()), next(second.parameters()))


def test_a_learnt_scale_trains_and_stays_below_one_hundred() -> None:
    objective = build({"loss": "clip_contrastive", "outputs": ["image", "text"], "scale": "learnt"})
    loss, _ = objective(outputs(), lesson())
    torch.testing.assert_close(loss, clip_contrastive(outputs()["image"], outputs()["text"], scale=1 / 0.07).mean())
    (scale,) = objective.parameters()
    assert float(torch.autograd.grad(loss, scale)[0]) != 0
    with torch.no_grad():
        scale.fill_(10.0)
    capped = clip_contrastive(outputs()["image"], outputs()["text"], scale=100.0).mean()
    torch.testing.assert_close(objective(outputs(), lesson())[0], capped)


def test_the_bank_of_crd_leaves_the_rows_own_samples_out_and_its_constant_is_that_of_the_first_batch() -> None:
    objective = build({"loss": "crd", "output": "image", "signal": "image", "bank": 9, "projector": "linear"})
    (projector,) = objective.projectors.values()
    found, _ = objective(outputs(), lesson())
    own = torch.arange(ROWS)[:, None] == torch.arange(9)
    projected = projector(outputs()["image"])
    log_z = objective.state_dict()["given.0.log_z"].clone()
    wanted = crd(projected, said()["image"], draw(9, 6, seed=77), samples=20, own=own, log_z=log_z)
    torch.testing.assert_close(found, wanted.mean())
    moved = {**outputs(), "image": outputs()["image"] + 1}
    objective(moved, lesson())
    assert torch.equal(objective.state_dict()["given.0.log_z"], log_z)


def test_a_deeper_head_teaches_an_earlier_one_and_hears_nothing_of_it() -> None:
    given = {name: values.requires_grad_() for name, values in outputs().items()}
    term = {"loss": "kl", "output": "early", "target_output": "logits", "temperature": 3.0}
    loss, terms = build(term)(given, lesson())
    torch.testing.assert_close(loss, kl(given["early"], given["logits"].detach(), temperature=3.0).mean())
    loss.backward()
    assert given["early"].grad is not None and given["logits"].grad is None and list(terms) == ["kl:logits"]
    trial = Trial(StudentSpec(name="tiny", use="cnn", objective=(term,)), "distilled", 0)
    assert trial.outputs == ("early", "logits") and needed_signals([trial]) == ()


def test_labels_may_be_fields_classes_numbers_and_tokens() -> None:
    given = outputs()
    offset, size = given["offset"][:4], given["size"][:4]
    for term, wanted in (
        ({"loss": "mse", "output": "offset", "label": "click"}, mse(offset, VALUES["click"][:4]).mean()),
        ({"loss": "huber", "output": "size", "label": "age"}, huber(size, VALUES["age"][:4, None]).mean()),
        (
            {"loss": "smooth_l1", "output": "size", "label": "age", "delta": 9.0},
            smooth_l1(size, VALUES["age"][:4, None], delta=9.0).mean(),
        ),
    ):
        torch.testing.assert_close(value(term), wanted)
    rows = torch.tensor([0, 1, 3])  # the mean over the rows that have a label
    found = value({"loss": "cross_entropy", "label": "cell", "label_smoothing": 0.2})
    wanted = cross_entropy(given["logits"][rows], VALUES["cell"][rows], label_smoothing=0.2).mean()
    torch.testing.assert_close(found, wanted)
    tokens = value({"loss": "cross_entropy", "output": "tokens", "label": "words", "average": "batch"})
    logs, there = given["tokens"][:4].log_softmax(-1), VALUES["words"][:4] >= 0
    wanted = -logs.gather(-1, VALUES["words"][:4].clamp_min(0).unsqueeze(-1)).squeeze(-1)[there].mean()
    torch.testing.assert_close(tokens, wanted)


@pytest.mark.parametrize("loss", ["cross_entropy", "dkd", "nkd"])
def test_rows_without_a_label_count_nothing_and_none_at_all_is_zero(loss: str) -> None:
    term = {"loss": loss} if loss == "cross_entropy" else {"loss": loss, "signal": "one"}
    torch.testing.assert_close(value(term, labelled=4), value(term, labelled=3))
    given = {name: values.requires_grad_() for name, values in outputs().items()}
    for labels, count in ((torch.full((ROWS,), -1), ROWS), (LABELS, 0)):
        found = build(term)(given, Lesson(ROWS, labels, count, said(), VALUES))[0]
        found.backward()
        assert float(found.detach()) == 0 and not given["logits"].grad.any()  # type: ignore[union-attr]


def test_labels_only_keeps_what_reads_no_signal_and_forgets_how_rows_were_weighed() -> None:
    terms = (
        {"loss": "cross_entropy", "sample_weight": {"by": "entropy", "signals": ["one"]}},
        {"loss": "mse", "output": "offset", "label": "click"},
        {"loss": "kl", "signal": "one"},
        {"loss": "dkd", "signal": "one"},
        {"loss": "clip_contrastive", "outputs": ["image", "text"]},
        {"loss": "kl", "output": "early", "target_output": "logits"},
    )
    objective = build(*terms, arm="labels-only")
    names = ["cross_entropy:labels", "mse:click", "clip_contrastive:image+text", "kl:logits"]
    assert [term.name for term in objective.terms] == names
    loss, _ = objective(outputs(), Lesson(ROWS, LABELS, 3, {}, VALUES))
    assert loss.isfinite()


def test_numbers_of_a_step_stand_for_those_of_the_settings() -> None:
    objective = build({"loss": "kl", "signal": "one"}, {"loss": "taid", "signal": "one", "t": 0.1, "weight": 3.0})
    numbers = {0: {"temperature": 4.0, "weight": 0.5}, 1: {"t": 0.9}}
    found, terms = objective(outputs(), lesson(), numbers=numbers)
    other = build(
        {"loss": "kl", "signal": "one", "temperature": 4.0, "weight": 0.5},
        {"loss": "taid", "signal": "one", "t": 0.9, "weight": 3.0},
    )
    torch.testing.assert_close((found, terms), other(outputs(), lesson()))
    rows = objective.rows(outputs(), lesson())
    assert {name: tuple(each.shape) for name, each in rows.items()} == {"kl:one": (6,), "taid:one": (6,)}


def weights(by: str, *names: str, **options: Any) -> Tensor:
    return sample_weights(SampleWeightSpec(by=by, **options), [said()[name] for name in names], ROWS)


def test_rows_are_weighed_by_what_the_teacher_said() -> None:
    p = said()["one"].softmax(-1)
    sure = 1 + (p * p.log()).sum(-1) / log(5)
    torch.testing.assert_close(weights("entropy", "one"), sure / sure.mean())
    torch.testing.assert_close(weights("entropy", "one", favour="unsure"), (1 - sure) / (1 - sure).mean())
    first = p.topk(2).values
    lead = first[:, 0] - first[:, 1]
    torch.testing.assert_close(weights("margin", "one"), lead / lead.mean())
    q = said()["two"].softmax(-1)
    m = (p + q) / 2
    apart = ((p * (p / m).log()).sum(-1) + (q * (q / m).log()).sum(-1)) / 2
    torch.testing.assert_close(weights("agreement", "one", "two"), (1 - apart / log(2)) / (1 - apart / log(2)).mean())
    assert float(weights("agreement", "one", "one").std()) < 1e-6
    term = {"loss": "kl", "signal": "one", "sample_weight": {"by": "margin"}}
    wanted = (kl(outputs()["logits"], said()["one"]) * lead / lead.mean()).mean()
    torch.testing.assert_close(value(term), wanted)


def test_sparse_logits_weigh_rows_as_the_dense_ones_do() -> None:
    dense = draw(ROWS, 5, seed=52)  # what "top" was made from
    torch.testing.assert_close(said()["top"].values[:, 0], torch.zeros(ROWS))
    spec = SampleWeightSpec(by="margin")
    exact = sample_weights(spec, [dense], ROWS)
    torch.testing.assert_close(weights("margin", "top"), exact, rtol=1e-2, atol=1e-2)
    entropy = sample_weights(SampleWeightSpec(by="entropy"), [dense], ROWS)
    torch.testing.assert_close(weights("entropy", "top"), entropy, rtol=1e-2, atol=1e-2)
    assert isinstance(said()["top"], SparseLogits) and isinstance(said()["sampled"], SampledTargets)
    assert weights("entropy", "sampled").mean().item() == pytest.approx(1)


def test_weights_of_rows_that_all_count_nothing_are_equal() -> None:
    flat = torch.zeros(ROWS, 5)
    assert torch.equal(sample_weights(SampleWeightSpec(by="margin"), [flat], ROWS), torch.ones(ROWS))


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ({"loss": "ensemble_kl", "signals": ["one", "two"], "shares": [1]}, "are no say of each of 2 signals"),
        ({"loss": "ensemble_kl", "signals": ["one", "top"]}, "keeps the top 3 entries alone"),
        ({"loss": "kl", "signals": ["one", "two"]}, "kl takes one signal, and 2 are named"),
        ({"loss": "kl", "outputs": ["logits", "early"], "signal": "one"}, "kl takes one output, and 2 are named"),
        ({"loss": "icl", "outputs": ["image", "text"], "signals": ["image"]}, "2 outputs cannot meet 1 signals"),
        ({"loss": "icl", "output": "image", "signals": ["image", "text"]}, r"takes outputs: \[image, text\], and 1"),
        ({"loss": "icl", "outputs": ["image", "text"], "signals": ["image", "text"]}, "`projector: linear`"),
        ({"loss": "clip_contrastive", "outputs": ["image", "offset"]}, "two vectors of one width"),
        ({"loss": "clip_contrastive", "outputs": ["image", "text"], "signal": "one"}, "reads no signal or label"),
        ({"loss": "clip_affinity", "outputs": ["image", "text"], "signals": ["one"]}, "cannot meet 1 signals"),
        ({"loss": "srrl", "output": "image", "signal": "one", "projector": "linear"}, "logits with codec head"),
        ({"loss": "crd", "output": "image", "signal": "image"}, "crd needs bank, a number of rows"),
        ({"loss": "kl", "signal": "one", "bank": 3}, "takes no bank"),
        ({"loss": "taid", "signal": "one"}, "taid needs t"),
        ({"loss": "kl", "signal": "one", "t": 0.5}, "kl takes no t"),
        ({"loss": "kl", "output": "early", "target_output": "logit"}, "no output 'logit', did you mean 'logits'"),
        ({"loss": "kl", "target_output": "image"}, r"output 'logits' is \(5,\) and output 'image' is \(4,\)"),
        ({"loss": "kl", "signal": "one", "target_output": "early"}, "target_output is the one target"),
        ({"loss": "kl", "signal": "one", "label": "cell"}, "kl takes no label; these do: cross_entropy"),
        ({"loss": "mse", "output": "offset", "label": "age"}, r"output 'offset' is \(2,\), and label 'age' \(\)"),
        ({"loss": "cross_entropy", "label": "age"}, r"label 'age' is float32 \(\), and output 'logits'"),
        ({"loss": "cross_entropy", "label": "many"}, "goes from 0 to 7, and output 'logits' has 5 classes"),
        ({"loss": "cross_entropy", "label": "gone"}, "there is no label field 'gone'"),
        ({"loss": "kl", "signal": "one", "heads": "mean"}, "takes no heads"),
        ({"loss": "kl", "signal": "one", "sample_weight": {"by": "agreement"}}, "agreement is between teachers"),
        ({"loss": "kl", "signal": "sampled", "sample_weight": {"by": "margin"}}, "margin needs more than pps keeps"),
        (
            {"loss": "cross_entropy", "sample_weight": {"by": "margin"}},
            "name the logits that rows are weighed by under `signals`",
        ),
        (
            {"loss": "kl", "signal": "top", "sample_weight": {"by": "entropy", "temperature": 2.0}},
            "says its entropy at temperature 1 alone",
        ),
    ],
)
def test_what_cannot_be_learnt_from_is_refused_with_its_place(term: dict[str, Any], message: str) -> None:
    with pytest.raises(StageError, match=message) as raised:
        build(term)
    assert str(raised.value).startswith("students.tiny.objective.0")


def test_a_cache_without_its_teachers_scale_says_so() -> None:
    term = {"loss": "clip_affinity", "outputs": ["image", "text"], "signals": ["image", "text"]}
    with pytest.raises(StageError, match="the cache keeps no logit_scale of its teacher; give a number"):
        build(term, kept=Kept(None))
    build({**term, "scale": 10.0, "target_scale": 20.0}, kept=Kept(None))


@pytest.mark.parametrize("cut", [1, 2, 3])
@pytest.mark.parametrize(
    "term",
    [
        {"loss": "cross_entropy"},
        {"loss": "cross_entropy", "label": "cell"},
        {"loss": "dkd", "signal": "one"},
        {"loss": "kl", "signal": "one"},
    ],
)
def test_parts_of_a_batch_sum_up_to_its_mean_where_some_labels_are_not_known(term: dict[str, Any], cut: int) -> None:
    objective, given, whole = build(term), outputs(), lesson()
    (name,), (count,) = objective.counts(whole).keys(), objective.counts(whole).values()
    wanted, found = objective(given, whole)[0], torch.zeros(())
    for places in (torch.arange(cut), torch.arange(cut, ROWS)):
        part = lesson_rows(as_parts(whole), places)
        assert objective.counts(part) == {name: count}
        found = found + objective.rows({key: values[places] for key, values in given.items()}, part)[name].sum() / count
    torch.testing.assert_close(found, wanted)
