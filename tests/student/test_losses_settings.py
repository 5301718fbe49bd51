"""Every loss of the table can be asked for by name, gets its options, and is refused at check where it cannot apply."""

import inspect
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from teachercache.cache import SignalSchema
from teachercache.stages.errors import StageError
from teachercache.stages.student.files.identity import claim_folder
from teachercache.stages.student.losses import LOSSES
from teachercache.stages.student.losses.response.decoupled import dkd
from teachercache.stages.student.mismatch.width import OrthogonalProjector
from teachercache.stages.student.objective.objective import Objective, build_objective
from teachercache.stages.student.spec import StudentSpec, TermSpec
from teachercache.stages.student.trial.arms import Lesson
from teachercache.stages.student.trial.trial import Trial, needs_labels

OUTPUTS = {
    "logits": (5,),
    "embedding": (8,),
    "hidden.1": (10, 8),
    "attention.0": (4, 10, 10),
    "map": (6, 4, 4),
    "other": (7,),
    "image": (8,),
    "words": (8,),
    "answer": (10, 9),
    "qkv.0": (3, 2, 10, 4),
    "stage": (4, 8, 8),
}
SHAPES = {
    "logits": (5,),
    "embedding": (8,),
    "wide": (12,),
    "tokens": (10, 12),
    "attention": (4, 10, 10),
    "map": (6, 4, 4),
    "deep": (9, 2, 2),
    "fine": (9, 8, 8),
    "text": (11, 12),
    "image": (8,),
    "words": (8,),
    "answer": (12, 7),
    "bins": (10, 4),
    "qkv": (3, 4, 10, 6),
    "shallow": (5, 8, 8),
    "head": (5,),
}
SIGNALS = {name: SignalSchema(name, "f32", {}, shape) for name, shape in SHAPES.items()}
HEAD = {"weight": "head.weight", "bias": "head.bias"}
SIGNALS["head"] = SignalSchema("head", "head", {"keep": "f16", "classes": 5}, (12,), constants=HEAD)


class Kept:
    """What a cache of 40 samples keeps once."""

    samples = 40

    def constant(self, name: str) -> np.ndarray | None:
        draw = np.random.default_rng(0)
        there = {"head.weight": draw.normal(size=(5, 12)), "head.bias": draw.normal(size=5), "logit_scale": np.log(20)}
        return np.asarray(there[name], np.float32) if name in there else None

    def bank(self, signal: str, rows: int, seed: int) -> tuple[Tensor, Tensor]:
        return values(SHAPES, seed % 1000, rows)[signal], torch.arange(rows)


# For each loss: the output and the signal that it is for.
MEETINGS = {
    **dict.fromkeys(LOSSES, ("logits", "logits")),
    **dict.fromkeys(["mse", "cosine", "clip_fd", "vkd", "info_nce"], ("embedding", "embedding")),
    **dict.fromkeys(["attention_kl", "attention_mse"], ("attention.0", "attention")),
    **dict.fromkeys(["rkd", "rkd_distance", "rkd_angle", "sp", "pkt"], ("embedding", "wide")),
    **dict.fromkeys(["attention_transfer", "nst"], ("map", "deep")),
    "hcl": ("map", "map"),
    "minilm": ("hidden.1", "tokens"),
    "minilm_qkv": ("qkv.0", "qkv"),
    "uld": ("answer", "answer"),
    "action_kl": ("answer", "bins"),
    "srrl": ("embedding", "head"),
    **dict.fromkeys(["crd", "smooth_l1", "huber"], ("embedding", "embedding")),
}
# And what they need beside these.
MORE: dict[str, dict[str, Any]] = {
    "taid": {"t": 0.4},
    "minilm_qkv": {"heads": 2},
    "action_kl": {"token_ids": 9, "bins": 4},
    "srrl": {"projector": "linear"},
    "crd": {"bank": 12},
    "ensemble_kl": {"signals": ["logits", "logits"], "signal": None},
    "tinybert_layers": {"outputs": ["hidden.1", "hidden.1"], "signals": ["tokens", "tokens"], "projector": "linear"},
    "review": {"outputs": ["stage", "map"], "signals": ["shallow", "deep"]},
    **dict.fromkeys(["clip_contrastive", "siglip"], {"outputs": ["image", "words"]}),
    **dict.fromkeys(["icl", "clip_affinity"], {"outputs": ["image", "words"], "signals": ["image", "words"]}),
}


def build(**term: Any) -> Objective:
    student = StudentSpec(name="tiny", use="cnn", objective=({"output": "logits", **term},))
    return build_objective(Trial(student, "distilled", 0), OUTPUTS, SIGNALS, 5, kept=Kept())


def values(shapes: dict[str, tuple[int, ...]], seed: int, rows: int = 6) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    found = {name: torch.randn(rows, *shape, generator=draw) for name, shape in shapes.items()}
    return {name: v.softmax(-1) if name.startswith("attention") else v for name, v in found.items()}


LABELS = torch.tensor([0, 1, 2, 3, -1, -1])


def value(objective: Objective, labelled: int = 4) -> Tensor:
    lesson = Lesson(6, LABELS, labelled, values(SHAPES, 1), samples=torch.arange(6))
    loss, _ = objective(values(OUTPUTS, 0), lesson)
    return loss


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_trains_a_student_from_its_settings(name: str) -> None:
    term = settings(name)
    objective = build(**term)
    reads = term.get("outputs") or [term["output"]]
    given = values(OUTPUTS, 0)
    given |= {output: given[output].requires_grad_() for output in reads}
    loss, terms = objective(given, Lesson(6, LABELS, 4, values(SHAPES, 1), samples=torch.arange(6)))
    loss.backward()
    assert loss.isfinite() and all(given[output].grad.abs().sum() > 0 for output in reads)  # type: ignore[union-attr]
    assert len(terms) == 1 and next(iter(terms)).startswith(f"{name}:")


def settings(name: str) -> dict[str, Any]:
    """The smallest term of a loss."""
    output, signal = MEETINGS[name]
    term = {"loss": name, "output": output, "signal": signal, **MORE.get(name, {})}
    needless = ["output"] if "outputs" in term else []
    needless += ["signal"] if "signals" in term or name in ("cross_entropy", "clip_contrastive", "siglip") else []
    return {key: value for key, value in term.items() if key not in needless}


def test_the_names_of_the_settings_are_those_of_the_table() -> None:
    assert get_args(TermSpec.model_fields["loss"].annotation) == tuple(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_the_options_of_a_loss_are_its_keywords_and_fields_of_a_term(name: str) -> None:
    keywords = inspect.signature(LOSSES[name].function).parameters
    assert set(LOSSES[name].options) <= set(keywords) & set(TermSpec.model_fields)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dkd", {"alpha": 0.5}),
        ("dkd", {"beta": 2.0}),
        ("dkd", {"temperature": 4.0}),
        ("nkd", {"gamma": 3.0}),
        ("dist", {"gamma": 0.0}),
        ("dist", {"beta": 0.0}),
        ("jensen", {"beta": 0.1}),
        ("skewed_kl", {"alpha": 0.5}),
        ("skewed_reverse_kl", {"alpha": 0.5}),
        ("lskd", {"temperature": 2.0}),
        ("info_nce", {"scale": 3.0}),
        ("minilm", {"heads": 2}),
        ("smooth_l1", {"delta": 0.1}),
        ("taid", {"t": 0.9}),
        ("clip_affinity", {"scale": 5.0}),
        ("clip_affinity", {"target_scale": 5.0}),
        ("clip_contrastive", {"scale": 3.0}),
        ("siglip", {"bias": -1.0}),
        ("ensemble_kl", {"signals": ["logits", "head"], "shares": [0.9, 0.1]}),
        ("crd", {"scale": 3.0}),
        ("action_kl", {"average": "batch", "bins": 4, "token_ids": 8}),
    ],
)
def test_an_option_reaches_its_loss(name: str, options: dict[str, Any]) -> None:
    term = settings(name)
    assert float(value(build(**(term | options))).detach()) != pytest.approx(float(value(build(**term)).detach()))


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ({"loss": "kl", "signal": "logits", "alpha": 0.5}, "kl takes no alpha"),
        ({"loss": "mse", "output": "embedding", "signal": "embedding", "heads": 2}, "mse takes no heads"),
        ({"loss": "skewed_kl", "signal": "logits", "alpha": 1.0}, r"\(skewed_kl\): skewed_kl: alpha is 1, it must"),
        ({"loss": "jensen", "signal": "logits", "beta": 1.5}, "jensen: beta is 1.5, it must lie between 0 and 1"),
        (
            {"loss": "minilm", "output": "hidden.1", "signal": "tokens", "heads": 3},
            "the output is 8 wide, which 3 relation heads do not divide",
        ),
        (
            {"loss": "minilm", "output": "hidden.1", "signal": "text"},
            r"minilm: needs \(B, T, d\) with the same B and T",
        ),
        ({"loss": "nst", "output": "embedding", "signal": "wide"}, "nst: needs feature maps"),
        ({"loss": "attention_transfer", "output": "map", "signal": "fine"}, "is coarser than the signal's"),
        ({"loss": "lskd", "output": "other", "signal": "logits"}, r"output 'other' is \(7,\) and signal 'logits'"),
        ({"loss": "dkd", "output": "embedding", "signal": "embedding"}, "there are 5 classes"),
        ({"loss": "dkd"}, "dkd needs a signal"),
        ({"loss": "rkd", "signal": "logits", "projector": "linear"}, "rkd takes no projector; these do: mse"),
        ({"loss": "info_nce", "output": "embedding", "signal": "wide"}, "`projector: linear`"),
        (
            {"loss": "vkd", "output": "hidden.1", "signal": "text", "projector": "orthogonal"},
            "a projector changes the width alone",
        ),
    ],
)
def test_what_cannot_apply_is_an_error_before_the_first_step(term: dict[str, Any], message: str) -> None:
    with pytest.raises(StageError, match=message):
        build(**term)


def test_losses_beside_labels_read_the_labelled_rows_alone() -> None:
    objective = build(loss="dkd", signal="logits", temperature=4.0)
    output, target = values(OUTPUTS, 0)["logits"], values(SHAPES, 1)["logits"]
    torch.testing.assert_close(value(objective), dkd(output[:4], target[:4], LABELS[:4], temperature=4.0).mean())
    trials = [
        Trial(StudentSpec(name="x", use="cnn", objective=(term.spec,)), "distilled", 0) for term in objective.terms
    ]
    assert needs_labels(trials)
    assert not needs_labels([Trial(StudentSpec(name="x", use="cnn", objective=(_kl(),)), "distilled", 0)])


def _kl() -> TermSpec:
    return TermSpec(loss="kl", signal="logits")


def test_an_orthogonal_projector_is_built_and_trained_with_the_student() -> None:
    objective = build(loss="vkd", output="embedding", signal="wide", projector="orthogonal")
    (projector,) = objective.projectors.values()
    assert isinstance(projector, OrthogonalProjector)
    value(objective).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in objective.parameters())


def test_a_new_setting_that_is_off_changes_no_trial_that_was_begun_before_it(tmp_path: Any) -> None:
    term = _kl().model_dump(mode="json")
    before = {name: value for name, value in term.items() if name not in ("alpha", "beta", "gamma", "scale", "heads")}
    claim_folder(tmp_path, {"student": {"objective": [before]}, "seed": 0, "cache": {}})
    claim_folder(tmp_path, {"student": {"objective": [term]}, "seed": 0, "cache": {}})
    with pytest.raises(StageError, match=r"student.objective.0.alpha was nothing and is now 0.5"):
        claim_folder(tmp_path, {"student": {"objective": [{**term, "alpha": 0.5}]}, "seed": 0, "cache": {}})
