"""Students are built from settings, equal for equal seeds, and refused with the nearest valid word."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from teachercache.stages.errors import StageError
from teachercache.stages.student.models.builders import StudentShape, build_student, check_arguments, output_shapes
from teachercache.stages.student.spec import StudentSpec

SHAPE = StudentShape(classes=5, channels=1, size=16)
VIT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "patch_size": 4}
RESNET = {"embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 1], "layer_type": "basic"}

OWN = """
import torch
from torch import nn

class Own(nn.Module):
    def __init__(self, classes, width=3):
        super().__init__()
        self.linear = nn.Linear(256, classes)
        self.width = width

    def forward(self, inputs):
        return {"logits": self.linear(inputs["pixel_values"].flatten(1)), "pixels": inputs["pixel_values"]}

def needy(classes, depth): ...
def broken(classes): raise RuntimeError("no such luck")
def number(classes): return 3
class Bare(Own):
    def forward(self, inputs):
        return super().forward(inputs)["logits"]
"""


@pytest.fixture
def own_students(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A user's module `own_students`, importable."""
    (tmp_path / "own_students.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_students", None)


def spec(use: str, args: dict[str, Any] | None = None, **changes: Any) -> StudentSpec:
    return StudentSpec(name="tiny", use=use, args=args or {}, objective=({"loss": "cross_entropy"},), **changes)


STUDENTS = [
    ("cnn", {"widths": [4, 6]}, {"embedding": (6,)}),
    ("cnn", {"widths": [4, 6, 9], "separable": True}, {"embedding": (9,)}),
    ("transformers:ViTConfig", VIT, {"embedding": (16,), "hidden.-1": (17, 16), "attention.1": (2, 17, 17)}),
    ("transformers:DeiTConfig", VIT, {"embedding": (16,)}),
    ("transformers:ResNetConfig", RESNET, {"embedding": (8,), "hidden.0": (4, 4, 4)}),
]


@pytest.mark.parametrize(("use", "args", "outputs"), STUDENTS)
def test_a_student_returns_what_was_asked_and_logits(use: str, args: dict[str, Any], outputs: dict[str, Any]) -> None:
    student = build_student(spec(use, args), SHAPE, {"logits", *outputs}, seed=0)
    assert output_shapes(student, spec(use, args), SHAPE) == {"logits": (5,), **outputs}
    assert student.training


@pytest.mark.parametrize(("use", "args", "outputs"), STUDENTS)
def test_weights_depend_on_the_seed_alone(use: str, args: dict[str, Any], outputs: dict[str, Any]) -> None:
    first = build_student(spec(use, args), SHAPE, outputs, seed=3)
    torch.manual_seed(8)
    state = torch.get_rng_state()
    again = build_student(spec(use, args), SHAPE, (), seed=3)
    assert torch.equal(state, torch.get_rng_state())
    other = build_student(spec(use, args), SHAPE, outputs, seed=4)
    torch.testing.assert_close(first.state_dict(), again.state_dict(), rtol=0, atol=0)
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_a_student_of_another_input_size_is_built_for_it() -> None:
    settings = spec("transformers:ViTConfig", VIT, input={"size": 8})
    student = build_student(settings, SHAPE, ("hidden.0",), seed=0)
    assert output_shapes(student, settings, SHAPE)["hidden.0"] == (5, 16)


@pytest.mark.parametrize(
    ("use", "args", "outputs", "message"),
    [
        ("cn", {}, (), "use: 'cn' is neither cnn, .*did you mean 'cnn'"),
        ("cnn", {"width": [4]}, (), "args.width: cnn has no such parameter, did you mean 'widths'"),
        ("cnn", {"widths": []}, (), "args.widths of a cnn are positive numbers"),
        ("cnn", {}, ("hidden.1",), "a cnn has no output 'hidden.1'.*it has logits and embedding"),
        ("transformers:VitConfig", {}, (), "no config class 'VitConfig', did you mean 'ViTConfig'"),
        (
            "transformers:BertConfig",
            {},
            (),
            "inputs.pixel_values: BertForSequenceClassification takes no such input; it takes input_ids",
        ),
        ("transformers:ViTConfig", {"hiden_size": 3}, (), "args.hiden_size: .*did you mean 'hidden_size'"),
        ("transformers:ViTConfig", {**VIT, "hidden_size": "x"}, (), "args: transformers cannot build a model"),
        ("transformers:ViTConfig", {**VIT, "image_size": 32}, (), r"fails on pixel_values \(2, 1, 16, 16\)"),
        ("transformers:ViTConfig", VIT, ("hidden.7",), "no hidden.7.*hidden.0 to hidden.2"),
        ("transformers:ResNetConfig", RESNET, ("attention.0",), "no attention that can be heard"),
    ],
)
def test_what_cannot_be_built_is_refused(
    use: str, args: dict[str, Any], outputs: tuple[str, ...], message: str
) -> None:
    with pytest.raises(StageError, match=message) as raised:
        build_student(spec(use, args), SHAPE, {"logits", *outputs}, seed=0)
    assert str(raised.value).startswith("students.tiny: ")


@pytest.mark.usefixtures("own_students")
def test_the_users_own_module_gets_its_arguments() -> None:
    student = build_student(spec("own_students:Own", {"width": 9}), SHAPE, ("pixels",), seed=0)
    assert student.width == 9
    assert output_shapes(student, spec("own_students:Own"), SHAPE) == {"logits": (5,), "pixels": (1, 16, 16)}


@pytest.mark.usefixtures("own_students")
@pytest.mark.parametrize(
    ("use", "args", "message"),
    [
        ("own_studnets:Own", {}, "'own_studnets:Own' cannot be imported"),
        ("own_students:own", {}, "no callable 'own', did you mean 'Own'"),
        ("own_students:Own", {"with": 3}, "args.with: own_students:Own has no such parameter, did you mean 'width'"),
        ("own_students:needy", {}, "also needs depth"),
    ],
)
def test_the_users_arguments_are_checked_without_building(use: str, args: dict[str, Any], message: str) -> None:
    with pytest.raises(StageError, match=message):
        check_arguments(spec(use, args), SHAPE)


@pytest.mark.usefixtures("own_students")
@pytest.mark.parametrize(
    ("use", "message"),
    [
        ("own_students:broken", "failed with RuntimeError: no such luck"),
        ("own_students:number", "returned int; a torch.nn.Module is needed"),
        ("own_students:Bare", "returns a mapping from output to tensor"),
    ],
)
def test_what_the_users_code_does_wrong_is_told(use: str, message: str) -> None:
    with pytest.raises(StageError, match=message):
        build_student(spec(use), SHAPE, (), seed=0)
