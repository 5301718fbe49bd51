"""Sparse logits of each token meet a student's: token by token, with its mask, in spans, and never other tokens."""

from typing import Any

import pytest
import torch
from torch import Tensor

from teachercache.cache import SignalSchema
from teachercache.cache.codecs import Packing, Ragged
from teachercache.stages.errors import StageError
from teachercache.stages.student.inputs.shape import InputShape
from teachercache.stages.student.losses import kl
from teachercache.stages.student.objective.objective import Objective, build_objective
from teachercache.stages.student.spec import StudentSpec
from teachercache.stages.student.trial.arms import Lesson
from teachercache.stages.student.trial.trial import Trial

TOKENS, CLASSES, LENGTHS = 6, 7, torch.tensor([6, 4, 2, 1])
MASK = torch.arange(TOKENS) < LENGTHS[:, None]
TEXT = {
    "input_ids": InputShape("tokens", (None,), "int64", TOKENS),
    "attention_mask": InputShape("mask", (None,), "int64", TOKENS),
}
CODECS: dict[str, dict[str, Any]] = {
    "topk": {"k": CLASSES, "temperatures": [1.0, 2.0]},
    "few": {"k": 3, "temperatures": [1.0, 2.0]},
    "pps": {"k": CLASSES, "temperatures": [2.0]},
}
SIGNALS = {
    name: SignalSchema(name, "topk" if name == "few" else name, given, (8, CLASSES), "logits", packing=Packing((0,)))
    for name, given in CODECS.items()
} | {
    "spans": SignalSchema("spans", "f32", {}, (5, 3), "spans", packing=Packing((0,))),
    "said": SignalSchema("said", "topk", CODECS["topk"], (2, CLASSES), "logits.action", packing=Packing((0,))),
}


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def objective(inputs: dict[str, InputShape], **term: Any) -> Objective:
    student = StudentSpec.model_validate({"name": "reader", "use": "cnn", "objective": [{"loss": "kl", **term}]})
    shapes = {"logits": (TOKENS, CLASSES)}
    return build_objective(Trial(student, "distilled", 0), shapes, SIGNALS, 5, inputs=inputs)


def kept(name: str, values: Tensor, lengths: Tensor) -> Any:
    """What the cache gives of these logits (B, T, V) of rows of so many tokens."""
    codec = SIGNALS[name].build()
    return codec.decode(codec.encode(Ragged(values, lengths)), SIGNALS[name].shape)


def value(one: Objective, logits: Tensor, said: dict[str, Any], mask: Tensor | None = MASK) -> Tensor:
    inputs = {} if mask is None else {"attention_mask": mask.long()}
    return one({"logits": logits}, Lesson(4, torch.zeros(4).long(), 4, said), inputs)[0]


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("signal", ["topk", "pps"])
@pytest.mark.parametrize("average", ["row", "batch"])
def test_all_classes_that_are_kept_are_the_dense_logits_and_padding_counts_nowhere(
    signal: str, average: str, masked: bool
) -> None:
    teacher, student = draw(4, TOKENS, CLASSES, seed=0), draw(4, TOKENS, CLASSES, seed=1)
    one = objective(TEXT if masked else {}, signal=signal, temperature=2.0, average=average)
    dense = kl(student, teacher, temperature=2.0, mask=MASK, average=average).mean()  # type: ignore[arg-type]
    found = []
    for junk in (0.0, float("inf")):
        logits = student.masked_fill(~MASK[:, :, None], junk).requires_grad_()
        said = {signal: kept(signal, teacher.masked_fill(~MASK[:, :, None], 9.0), LENGTHS)}
        loss = value(one, logits, said, MASK if masked else None)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert gradient.isfinite().all() and not gradient[~MASK].any()
        found.append((loss.detach(), gradient))
    torch.testing.assert_close(found[0], found[1])
    if signal == "topk":  # of a sample the entropy at this temperature is not kept: another constant
        torch.testing.assert_close(found[0][0], dense, atol=2e-3, rtol=0)
    logits = student.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(kl(logits, teacher, temperature=2.0, mask=MASK, average=average).mean(), logits)  # type: ignore[arg-type]
    torch.testing.assert_close(found[0][1], wanted, atol=2e-3, rtol=0)


def test_few_classes_of_each_token_are_held_against_the_students_own() -> None:
    teacher, student = draw(4, TOKENS, CLASSES, seed=0), draw(4, TOKENS, CLASSES, seed=1)
    found = value(objective(TEXT, signal="few", temperature=2.0), student, {"few": kept("few", teacher, LENGTHS)})
    alone = [
        kl(student[row, :n], kept("few", teacher[row : row + 1], LENGTHS[row : row + 1]).targets, temperature=2.0)
        for row, n in enumerate(LENGTHS.tolist())
    ]
    torch.testing.assert_close(found, torch.stack([each.mean() for each in alone]).mean())


def test_a_span_of_tokens_meets_the_students_tokens_that_say_it() -> None:
    runs = torch.tensor([[[0, 0, 3], [2, 3, 5]], [[0, 0, 2], [2, 2, 4]]]).float().repeat(2, 1, 1)
    spans = Ragged(torch.cat([runs, torch.zeros(4, 3, 3)], dim=1), torch.full((4,), 2))
    teacher, student = draw(4, 2, CLASSES, seed=0), draw(4, TOKENS, CLASSES, seed=1)
    said = {"spans": spans, "said": kept("said", teacher, torch.full((4,), 2))}
    found = value(objective({}, signal="said", span="action", temperature=2.0), student, said, None)
    before = torch.tensor([[2, 3], [1, 2], [2, 3], [1, 2]])
    wanted = kl(student.take_along_dim(before[:, :, None], dim=1), teacher, temperature=2.0).mean()
    torch.testing.assert_close(found, wanted, atol=2e-3, rtol=0)


def test_a_student_that_read_other_tokens_is_an_error_and_no_loss() -> None:
    said = {"few": kept("few", draw(4, TOKENS, CLASSES, seed=0), torch.tensor([6, 4, 2, 2]))}
    with pytest.raises(StageError, match=r"have other tokens: row 3 of the batch has 2 in the signal"):
        value(objective(TEXT, signal="few"), draw(4, TOKENS, CLASSES, seed=1), said)


def test_losses_that_need_every_class_are_refused() -> None:
    with pytest.raises(StageError, match="keeps the top 3 entries alone; use kl"):
        objective(TEXT, loss="reverse_kl", signal="few")
