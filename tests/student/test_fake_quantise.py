"""A phase in which a student computes as if in int8: on levels, with gradients, and with nothing of it left behind."""

from functools import partial
from pathlib import Path
from typing import Any

import memory_stream as memory
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from teachercache.stages.errors import Interrupted, StageError
from teachercache.stages.student.files.saved import load_student
from teachercache.stages.student.fleet import check_fleet, train_fleet
from teachercache.stages.student.models.builders import build_student
from teachercache.stages.student.rounding.fake_quantise import fake_quantised, fake_values, fake_weights
from teachercache.stages.student.rounding.observe import known_range, observed
from teachercache.stages.student.trial.trial import plan_trials

CPU = torch.device("cpu")
TERMS = [{"loss": "cross_entropy", "weight": 0.5}, {"loss": "kl", "signal": "logits", "temperature": 2.0}]


def train(folder: Path, fake: bool, use: dict[str, Any] | None = None, **options: Any) -> Path:
    """The folder of a student whose second half is so, or as ever."""
    last = {"name": "last", "share": 0.5, "objective": TERMS, "fake_quantise": fake}
    phases = [{"name": "first", "share": 0.5, "objective": TERMS}, last]
    spec = memory.make_train(steps=12)
    trials = plan_trials([memory.make_student(objective=(), phases=phases, **(use or {}))], spec)
    [result] = train_fleet(trials, memory.MemoryStream(spec), memory.SHAPE, folder, spec, CPU, **options)
    assert result.status == "finished", result.reason
    return result.folder


def test_values_and_weights_lie_on_levels_and_their_gradients_pass() -> None:
    values = torch.linspace(-1.0, 3.0, 1001).requires_grad_()
    found = fake_values(values, (values.detach().amin(), values.detach().amax()))
    assert len(found.unique()) == 256 and bool((found == 0).any())
    torch.testing.assert_close(found, values, rtol=0, atol=4 / 255)
    found.sum().backward()
    assert values.grad is not None and values.grad[10:-10].eq(1).all()
    weight = torch.randn(3, 4, 5, 5) * torch.tensor([1.0, 10.0, 0.0])[:, None, None, None]
    for channel, rounded in zip(weight, fake_weights(weight), strict=True):
        scale = float(channel.abs().max()) / 64
        torch.testing.assert_close(rounded, channel, rtol=0, atol=scale / 2 + 1e-6)
        assert len(rounded.unique()) <= 129 and len(rounded.unique()) > 30 * (scale > 0)


def test_a_student_computes_so_within_and_as_before_after_it() -> None:
    student = build_student(memory.make_student(), memory.SHAPE, ["logits"], 0).eval()
    images = {"pixel_values": torch.randn(4, 1, 12, 12)}
    with torch.inference_mode():
        before = student(images)["logits"]
        with observed(student) as ranges:
            student(images)
        with fake_quantised(student, range_of=known_range(ranges)):
            within, again = student(images)["logits"], student(images)["logits"]
        with fake_quantised(student, on=False):
            off = student(images)["logits"]
        after = student(images)["logits"]
    assert torch.equal(before, after) and torch.equal(before, off) and torch.equal(within, again)
    assert not torch.equal(before, within)
    torch.testing.assert_close(within, before, rtol=0, atol=0.05 * float(before.abs().max()))


def test_a_phase_in_int8_changes_what_is_learnt_and_leaves_nothing_behind(tmp_path: Path) -> None:
    fake, plain = (train(tmp_path / str(fake), fake) for fake in (True, False))
    weights, others = (load_file(folder / "student.safetensors") for folder in (fake, plain))
    assert {name: value.shape for name, value in weights.items()} == {n: v.shape for n, v in others.items()}
    assert not torch.equal(weights["features.0.weight"], others["features.0.weight"])
    torch.testing.assert_close(weights["features.0.weight"], others["features.0.weight"], rtol=0, atol=0.05)
    assert load_student(fake)({"pixel_values": torch.zeros(2, 1, 12, 12)})["logits"].shape == (2, 5)


def test_a_phase_in_int8_that_was_interrupted_ends_as_if_it_were_not(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", True)
    for batches in (4, 4, 2):
        seen = iter(range(batches - 1))
        with pytest.raises(Interrupted):
            train(tmp_path / "broken", True, stop=partial(lambda seen: next(seen, None) is None, seen))
    broken = train(tmp_path / "broken", True)
    assert (broken / "student.safetensors").read_bytes() == (whole / "student.safetensors").read_bytes()


class Plain(nn.Module):
    """One linear layer."""

    def __init__(self, classes: int, size: int) -> None:
        super().__init__()
        self.head = nn.Linear(size * size, classes)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": self.head(inputs["pixel_values"].flatten(1))}


def test_a_student_without_convolutions_is_refused() -> None:
    phases = [{"name": "only", "share": 1.0, "objective": TERMS, "fake_quantise": True}]
    spec = memory.make_train(steps=4)
    trials = plan_trials([memory.make_student(objective=(), phases=phases, use=f"{__name__}:Plain", args={})], spec)
    with pytest.raises(StageError, match="phases.only.fake_quantise: this student has no convolution"):
        check_fleet(trials, memory.MemoryStream(spec), memory.SHAPE, spec)
