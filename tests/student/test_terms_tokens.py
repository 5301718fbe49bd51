"""Rows that differ in length meet with masks: padding never counts, spans choose tokens, other tokens are refused."""

from typing import Any

import pytest
import torch
from torch import Tensor

from teachercache.cache import SignalSchema
from teachercache.cache.codecs import Packing, Ragged
from teachercache.stages.errors import StageError
from teachercache.stages.student.inputs.shape import InputShape
from teachercache.stages.student.losses import cosine, kl, mse
from teachercache.stages.student.losses.relation.similarity import sp
from teachercache.stages.student.losses.tokens.vocabulary import uld
from teachercache.stages.student.objective.objective import Objective, build_objective
from teachercache.stages.student.spec import StudentSpec
from teachercache.stages.student.trial.arms import Lesson
from teachercache.stages.student.trial.trial import Trial

TOKENS, LENGTHS = 6, torch.tensor([6, 4, 2, 1])
MASK = torch.arange(TOKENS) < LENGTHS[:, None]
TEXT = {
    "input_ids": InputShape("tokens", (None,), "int64", TOKENS),
    "attention_mask": InputShape("mask", (None,), "int64", TOKENS),
}
IMAGE = {"pixel_values": InputShape("image", (3, 8, 8), "float32")}
OUTPUTS = {
    "hidden.1": (TOKENS, 4),
    "token-logits": (TOKENS, 7),
    "attention.0": (2, TOKENS, TOKENS),
    "qkv.0": (3, 2, TOKENS, 4),
    "text.hidden.1": (TOKENS, 4),
    "marks": (TOKENS,),
}
LONGEST = 8  # the teacher's padding is another


def packed(name: str, shape: tuple[int, ...], axes: tuple[int, ...] = (0,), point: str = "") -> SignalSchema:
    return SignalSchema(name, "f16", {}, shape, point=point, packing=Packing(axes))


SIGNALS = {
    schema.name: schema
    for schema in (
        packed("hidden.4", (LONGEST, 4)),
        packed("wide", (LONGEST, 9)),
        packed("logits", (LONGEST, 7)),
        packed("other-logits", (LONGEST, 11)),
        packed("attention", (2, LONGEST, LONGEST), (1, 2)),
        packed("more-attention", (3, LONGEST, LONGEST), (1, 2)),
        SignalSchema("mean-attention", "f16", {}, (8, 8), reduce="head-mean", packing=Packing((0, 1))),
        packed("qkv", (3, 2, LONGEST, 4), (2,)),
        packed("row", (2, LONGEST), (1,)),
        packed("spans", (5, 3), (0,), "spans"),
        packed("hidden.4.text", (4, 4), (0,), "hidden.4.text"),
        SignalSchema("hidden.4.image", "f16", {}, (1, 4), point="hidden.4.image"),
        SignalSchema("pooled", "f16", {}, (4,), reduce="mean", point="hidden.4"),
        SignalSchema("last", "f16", {}, (4,), reduce="last", point="hidden.4"),
        SignalSchema("text-mean", "f16", {}, (4,), reduce="mean", point="hidden.4.text"),
    )
}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(inputs: dict[str, InputShape] | None = None, **term: Any) -> Objective:
    student = StudentSpec(name="reader", use="cnn", objective=(term,))
    return build_objective(
        Trial(student, "distilled", 0), OUTPUTS, SIGNALS, 5, inputs=TEXT if inputs is None else inputs
    )


def ragged(name: str, junk: float = 0.0, lengths: Tensor = LENGTHS) -> Ragged:
    schema = SIGNALS[name]
    assert schema.packing is not None
    values = draw(len(lengths), *schema.shape, seed=len(name))
    values = values.softmax(-1) if "attention" in name else values
    for axis in schema.packing.axes:
        real = torch.arange(schema.shape[axis]) < lengths[:, None]
        shape = [len(lengths), *[1] * len(schema.shape)]
        shape[axis + 1] = -1
        values = values.masked_fill(~real.view(shape), junk)
    return Ragged(values, lengths)


def outputs(junk: float = 0.0) -> dict[str, Tensor]:
    """What a student says of texts of these lengths; `junk` where there is no token."""
    found = {name: draw(4, *shape, seed=9 + i) for i, (name, shape) in enumerate(OUTPUTS.items())}
    found["attention.0"] = found["attention.0"].softmax(-1)
    found["marks"] = MASK.float()
    keys = MASK[:, None, :, None] & MASK[:, None, None, :]
    over = {"attention.0": keys, "qkv.0": MASK[:, None, None, :, None], "marks": torch.ones_like(MASK)}
    return {n: v.masked_fill(~over.get(n, MASK[:, :, None]), junk) for n, v in found.items()}


# Runs (kind, first, one past the last): text, an image of one token, text.
RUNS = torch.tensor(
    [
        [[0, 0, 2], [1, 2, 3], [0, 3, 6]],
        [[1, 0, 1], [0, 1, 4], [0, 0, 0]],
        [[0, 0, 1], [1, 1, 2], [0, 0, 0]],
        [[1, 0, 1], [0, 0, 0], [0, 0, 0]],
    ]
).float()
SPANS = Ragged(torch.cat([RUNS, torch.zeros(4, 2, 3)], dim=1), torch.tensor([3, 2, 2, 1]))
IS_TEXT = torch.tensor([[1, 1, 0, 1, 1, 1], [0, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0], [0] * 6]).bool()


def signals(junk: float = 0.0) -> dict[str, Any]:
    whole = {name: ragged(name, junk) for name in SIGNALS if SIGNALS[name].packing is not None and "." not in name[7:]}
    text = Ragged(draw(4, 4, 4, seed=3), IS_TEXT.sum(1).clamp(max=4))
    pooled = {name: draw(4, 4, seed=5) for name in ("pooled", "last", "text-mean")}
    return {**whole, **pooled, "spans": SPANS, "hidden.4.text": text, "hidden.4.image": draw(4, 1, 4, seed=6)}


def value(objective: Objective, given: dict[str, Tensor], said: dict[str, Any], mask: Tensor | None = MASK) -> Tensor:
    inputs = {} if mask is None else {"attention_mask": mask.long()}
    return objective(given, Lesson(4, torch.zeros(4).long(), 4, said), inputs)[0]


TERMS: dict[str, dict[str, Any]] = {
    "mse": {"output": "hidden.1", "signal": "hidden.4"},
    "cosine": {"output": "hidden.1", "signal": "wide", "projector": "linear"},
    "vkd": {"output": "hidden.1", "signal": "wide", "projector": "orthogonal"},
    "kl": {"output": "token-logits", "signal": "logits", "temperature": 2.0, "average": "batch"},
    "reverse_kl": {"output": "token-logits", "signal": "logits"},
    "taid": {"output": "token-logits", "signal": "logits", "t": 0.5},
    "uld": {"output": "token-logits", "signal": "other-logits"},
    "attention_kl": {"output": "attention.0", "signal": "attention"},
    "attention_mse": {"output": "attention.0", "signal": "more-attention", "heads": "mean"},
    "minilm": {"output": "hidden.1", "signal": "wide"},
    "minilm_qkv": {"output": "qkv.0", "signal": "qkv", "heads": 2},
    "sp": {"output": "hidden.1", "signal": "wide"},
    "tinybert_layers": {"outputs": ["hidden.1", "text.hidden.1"], "signals": ["hidden.4", "hidden.4"]},
}
SPANNED: dict[str, dict[str, Any]] = {
    "mse": {"output": "hidden.1", "signal": "hidden.4", "span": "text"},
    "kl": {"output": "token-logits", "signal": "logits", "span": "image"},
    "attention_kl": {"output": "attention.0", "signal": "mean-attention"},
}


@pytest.mark.parametrize("term", [{"loss": n, **t} for n, t in [*TERMS.items(), *SPANNED.items()]], ids=str)
@pytest.mark.parametrize("masked", [True, False])
def test_padding_changes_neither_loss_nor_gradient(term: dict[str, Any], masked: bool) -> None:
    """Whatever stands there, on either side; with the student's own mask, or by the teacher's lengths alone."""
    if term["loss"] == "uld" and not masked:
        return  # two tokenizers: the student's lengths are known by its mask alone
    objective = build(None if masked else {}, **term)
    found = []
    for junk in (0.0, 7.0, float("inf")):
        given = {name: values.requires_grad_() for name, values in outputs(junk).items()}
        loss = value(objective, given, signals(junk), MASK if masked else None)
        read = given[term.get("output") or term["outputs"][0]]
        (gradient,) = torch.autograd.grad(loss, read)
        assert loss.isfinite() and gradient.isfinite().all() and gradient.abs().sum() > 0
        found.append((loss.detach(), gradient))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0])


def test_the_tokens_that_count_are_compared_one_by_one() -> None:
    given, said = outputs(), signals()
    short = {name: each.values[:, :TOKENS] for name, each in said.items() if isinstance(each, Ragged)}
    expected = {
        "mse": mse(given["hidden.1"], short["hidden.4"], mask=MASK),
        "kl": kl(given["token-logits"], short["logits"], temperature=2.0, mask=MASK, average="batch"),
        "sp": sp(given["hidden.1"], short["wide"]),
    }
    for loss, wanted in expected.items():
        torch.testing.assert_close(value(build(loss=loss, **TERMS[loss]), given, said), wanted.mean())
    single = [
        (given["hidden.1"][row, :n] - short["hidden.4"][row, :n]).square().mean() for row, n in enumerate(LENGTHS)
    ]
    torch.testing.assert_close(expected["mse"], torch.stack(single))


def test_answers_of_two_tokenizers_meet_by_uld_whatever_their_lengths() -> None:
    lengths = torch.tensor([3, 5, 2, 8])
    said = {"other-logits": ragged("other-logits", 3.0, lengths)}
    found = value(build(loss="uld", output="token-logits", signal="other-logits"), outputs(7.0), said)
    theirs = torch.arange(LONGEST) < lengths[:, None]
    wanted = uld(outputs()["token-logits"], said["other-logits"].values, mask=MASK, target_mask=theirs)
    torch.testing.assert_close(found, wanted.mean())


def test_a_span_chooses_tokens_of_whole_rows_and_meets_a_signal_of_its_own_tokens() -> None:
    given, said = outputs(), signals()
    hidden, target = given["hidden.1"], said["hidden.4"].values[:, :TOKENS]
    whole = value(build(loss="mse", output="hidden.1", signal="hidden.4", span="text"), given, said)
    torch.testing.assert_close(whole, mse(hidden, target, mask=IS_TEXT).mean())
    lengths = IS_TEXT.sum(1)
    said["hidden.4.text"] = Ragged(draw(4, 5, 4, seed=3), lengths)
    text = build(loss="mse", output="hidden.1", signal="hidden.4.text", span="text")
    rows = [
        (hidden[row][IS_TEXT[row]] - said["hidden.4.text"].values[row, :n]).square().mean() if n else torch.tensor(0.0)
        for row, n in enumerate(lengths)
    ]
    torch.testing.assert_close(value(text, given, said), torch.stack(rows).mean())
    image = torch.tensor([2, 0, 1, 0])  # every row has one image token
    wanted = (hidden[torch.arange(4), image] - said["hidden.4.image"][:, 0]).square().mean()
    found = value(build(loss="mse", output="hidden.1", signal="hidden.4.image", span="image"), given, said)
    torch.testing.assert_close(found, wanted)


def test_logits_of_a_span_are_those_that_say_its_tokens() -> None:
    said = {**signals(), "token": ragged("logits")}
    outs = {"logits": outputs()["token-logits"]}
    student = StudentSpec(name="r", use="cnn", objective=({"loss": "kl", "signal": "logits", "span": "image"},))
    objective = build_objective(Trial(student, "distilled", 0), {"logits": (TOKENS, 7)}, SIGNALS, 5)
    before = torch.zeros(4, TOKENS, dtype=torch.bool)
    before[0, 1] = before[2, 0] = True  # rows 1 and 3 begin with the image, which no token says
    wanted = kl(outs["logits"], said["logits"].values[:, :TOKENS], mask=before)
    torch.testing.assert_close(value(objective, outs, said, None), wanted.mean())


def test_reduced_outputs_leave_padding_out_and_a_span_in() -> None:
    given, said = outputs(7.0), signals()
    hidden = given["hidden.1"]
    mean = torch.stack([hidden[row, :n].mean(0) for row, n in enumerate(LENGTHS)])
    last = hidden[torch.arange(4), LENGTHS - 1]
    for signal, student in (("pooled", mean), ("last", last)):
        found = value(build(loss="cosine", output="hidden.1", signal=signal), given, said)
        torch.testing.assert_close(found, cosine(student, said[signal]).mean())
    of_text = torch.stack([hidden[row][IS_TEXT[row]].sum(0) / IS_TEXT[row].sum().clamp_min(1) for row in range(4)])
    found = value(build(loss="mse", output="hidden.1", signal="text-mean", span="text"), given, said)
    torch.testing.assert_close(found, mse(of_text, said["text-mean"]).mean())


def test_a_mask_may_be_named_or_refused() -> None:
    given, said = outputs(), signals()
    term = {"loss": "mse", "output": "hidden.1", "signal": "pooled"}
    plain = mse(given["hidden.1"].mean(1), said["pooled"]).mean()
    torch.testing.assert_close(value(build(**term, mask="none"), given, said), plain)
    named = value(build({}, **term, mask="marks"), given, said, None)
    torch.testing.assert_close(named, value(build(**term), given, said))
    assert not torch.equal(named, plain)
    build(TEXT | IMAGE, loss="cosine", output="text.hidden.1", signal="pooled")


def test_all_tokens_masked_give_zero_and_no_nan() -> None:
    for loss in ("mse", "kl", "attention_kl", "minilm", "taid", "tinybert_layers"):
        given = {name: values.requires_grad_() for name, values in outputs().items()}
        said = {
            name: Ragged(each.values, each.lengths * 0) for name, each in signals().items() if isinstance(each, Ragged)
        }
        found = value(build(loss=loss, **TERMS[loss]), given, said, MASK & False)
        found.backward()
        assert float(found.detach()) == 0
        assert all(v.grad is None or not v.grad.any() for v in given.values())


@pytest.mark.parametrize("lengths", [[6, 4, 2, 2], [6, 4, 3, 1], [5, 4, 2, 1]])
def test_a_student_that_read_other_tokens_is_an_error_and_no_loss(lengths: list[int]) -> None:
    said = {"hidden.4": ragged("hidden.4", 0.0, torch.tensor(lengths))}
    with pytest.raises(StageError, match=r"have other tokens: row \d of the batch has \d in the signal"):
        value(build(loss="mse", output="hidden.1", signal="hidden.4"), outputs(), said)
    left = MASK.flip(1)
    with pytest.raises(StageError, match="not in front"):
        value(build(loss="mse", output="hidden.1", signal="hidden.4"), outputs(), signals(), left)
    longer = {"hidden.4": ragged("hidden.4", 0.0, torch.tensor([8, 4, 2, 1]))}  # cut at the student's most tokens
    value(build(loss="mse", output="hidden.1", signal="hidden.4"), outputs(), longer)


@pytest.mark.parametrize(
    ("term", "inputs", "message"),
    [
        ({"loss": "attention_kl", "output": "attention.0", "signal": "row"}, TEXT, "of its maps one row is kept"),
        ({"loss": "hcl", "output": "hidden.1", "signal": "hidden.4"}, TEXT, "hcl takes no mask"),
        ({"loss": "mse", "output": "hidden.1", "signal": "wide"}, TEXT, r"\(8, 4\) and signal 'wide' is \(8, 9\)"),
        ({"loss": "mse", "output": "hidden.1", "signal": "hidden.4", "tokens": "grid"}, TEXT, "text has no grid"),
        ({"loss": "mse", "output": "hidden.1", "signal": "pooled"}, TEXT | IMAGE, "say `mask: attention_mask`"),
        (
            {"loss": "mse", "output": "hidden.1", "signal": "pooled", "mask": "masks"},
            TEXT,
            "no input or output 'masks'",
        ),
        ({"loss": "mse", "output": "hidden.1", "signal": "pooled", "mask": "hidden.1"}, TEXT, "there are 6 tokens"),
        (
            {"loss": "mse", "output": "hidden.1", "signal": "hidden.4", "span": "text", "spans": "wide"},
            TEXT,
            "'wide' is none; keep the teacher's `spans`",
        ),
        (
            {"loss": "attention_kl", "output": "attention.0", "signal": "attention", "span": "text"},
            TEXT,
            "of attention keep a block such as",
        ),
    ],
)
def test_what_cannot_meet_token_by_token_is_refused(
    term: dict[str, Any], inputs: dict[str, InputShape], message: str
) -> None:
    with pytest.raises(StageError, match=message):
        build(inputs, **term)
