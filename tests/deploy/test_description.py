"""What is said of a student: multiply-accumulates as formulas have them, every output, and the signals in its reach."""

import pytest
import torch
from torch import nn

from teachercache.cache import SignalSchema
from teachercache.stages.deploy.description import describe_student
from teachercache.stages.deploy.learnable import learnable_signals
from teachercache.stages.deploy.measuring.macs import multiply_accumulates
from teachercache.stages.student.models.builders import StudentShape
from teachercache.stages.student.spec import StudentSpec

VIT = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12, "patch_size": 4}


class Called(nn.Module):
    """Calls a module with one input."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"out": self.module(inputs["x"])}


@pytest.mark.parametrize(
    ("module", "shape", "macs"),
    [
        (nn.Linear(5, 7), (1, 5), 5 * 7),
        (nn.Conv2d(3, 4, 3, padding=1), (1, 3, 6, 6), 3 * 4 * 9 * 36),
        (nn.LSTM(5, 4, 2, batch_first=True), (1, 6, 5), 6 * 4 * 4 * (5 + 4 + 4 + 4)),
    ],
)
def test_multiply_accumulates_are_those_of_the_formula(module: nn.Module, shape: tuple[int, ...], macs: int) -> None:
    assert multiply_accumulates(Called(module), {"x": torch.zeros(shape)}) == macs


def describe(use: str, args: dict[str, object], **more: object) -> object:
    spec = StudentSpec(name="tiny", use=use, args=args, objective=({"loss": "cross_entropy"},))
    return describe_student(spec, StudentShape(5, 1, 16), ("logits",), dict(more))  # type: ignore[arg-type]


def test_attention_of_a_transformer_counts() -> None:
    """Of a ViT: patches, per layer four projections, two products of 17 tokens, the MLP; and the head."""
    tokens, width = 17, 8
    layer = 4 * tokens * width * width + 2 * tokens * tokens * width + 2 * tokens * width * 12
    assert describe("transformers:ViTConfig", VIT).macs == 16 * 16 * width + 2 * layer + width * 5  # type: ignore[attr-defined]


def test_a_description_lists_outputs_that_were_not_asked_for() -> None:
    found = describe("transformers:ViTConfig", VIT)
    assert {"logits", "embedding", "hidden.0", "hidden.2", "attention.1"} <= set(found.outputs)  # type: ignore[attr-defined]
    assert "hidden.3" not in found.outputs and "text_embeds" not in found.outputs  # type: ignore[attr-defined]
    assert 0 < found.without_embeddings < found.parameters  # type: ignore[attr-defined]


def test_signals_are_met_by_what_has_their_shape() -> None:
    outputs = {"logits": (5,), "embedding": (8,), "hidden.1": (17, 8), "attention.0": (2, 17, 17), "exit.1": (5,)}
    signals = {
        "logits": SignalSchema("logits", "f16", {}, (5,)),
        "other": SignalSchema("other", "f16", {}, (6,), point="logits"),
        "embedding": SignalSchema("embedding", "f16", {}, (12,)),
        "hidden.3": SignalSchema("hidden.3", "f16", {}, (17, 8)),
        "summary": SignalSchema("summary", "f16", {}, (8,), point="hidden.3", reduce="cls"),
        "attention.5": SignalSchema("attention.5", "f16", {}, (17, 17), reduce="head-mean"),
        "pixels": SignalSchema("pixels", "u8", {}, (16, 16, 1), point="view"),
    }
    found = {near.signal: dict(near.ways) for near in learnable_signals(signals, outputs)}
    assert found == {
        "logits": {"as it is": ("logits", "exit.1")},
        "other": {},
        "embedding": {"projector: linear": ("embedding",)},
        "hidden.3": {"as it is": ("hidden.1",)},
        "summary": {"as it is": ("embedding",), "reduced (cls)": ("hidden.1",)},
        "attention.5": {"reduced (head-mean)": ("attention.0",)},
    }
