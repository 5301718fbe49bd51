"""Built-in students: outputs, blindness to padding, early exits, the pointer through which answers are read."""

from types import ModuleType
from typing import Any

import pytest
import torch

from teachercache.stages.errors import StageError
from teachercache.stages.student.models.small.heads import Heads

PAIR = ("pixel_values", "input_ids")
AGENT = {"heads": {"cell": 4, "offset": 2, "answer": 7}, "width": 8, "attention_heads": 2, "mlp": 8}
AGENT |= {"vision_widths": [4, 8, 8], "fusion_layers": 2, "exits": [1]}
CASES: list[tuple[str, tuple[str, ...], dict[str, Any], dict[str, tuple[int, ...]]]] = [
    (
        "clip-conv-lstm",
        PAIR,
        {"projection": 6, "stride": 2},
        {"image_embeds": (3, 6), "text_embeds": (3, 6), "logits_per_text": (3, 3)},
    ),
    ("slices", ("volume",), {}, {"logits": (3, 5), "embedding": (3, 32), "slices": (3, 6, 32)}),
    ("slices", ("volume",), {"pool": "max", "heads": {"age": 1}, "stride": 2}, {"age": (3, 1)}),
    ("lstm", ("sequence",), {"hidden": 4, "exits": [1]}, {"logits": (3, 5), "hidden.1": (3, 6, 4), "exit.1": (3, 5)}),
    ("lstm", ("input_ids",), {"hidden": 4, "pool": "mean"}, {"logits": (3, 5), "hidden.0": (3, 6, 4)}),
    ("multimodal", PAIR, AGENT, {"cell": (3, 4), "offset": (3, 2), "answer": (3, 7), "exit.1": (3, 4)}),
    ("multimodal", PAIR, {"vision": "patch", "patch": 4}, {"logits": (3, 5), "fusion.attention.0": (3, 4, 6, 4)}),
    ("multimodal", PAIR, {"vision_widths": [4, 8], "vision_stride": 2}, {"vision.hidden.0": (3, 4, 48)}),
]


@pytest.mark.parametrize(("use", "takes", "args", "outputs"), CASES)
def test_a_built_in_student_gives_what_it_says(
    students: ModuleType, use: str, takes: tuple[str, ...], args: dict[str, Any], outputs: dict[str, tuple[int, ...]]
) -> None:
    found = students.built(use, takes, tuple(outputs), args)(students.batch(takes))
    assert {name: tuple(found[name].shape) for name in outputs} == outputs


@pytest.mark.parametrize(("use", "takes", "args", "outputs"), CASES)
def test_padded_places_change_nothing(
    students: ModuleType, use: str, takes: tuple[str, ...], args: dict[str, Any], outputs: dict[str, tuple[int, ...]]
) -> None:
    student, inputs = students.built(use, takes, tuple(outputs), args), students.batch(takes, length=4)
    for training in (False, True):  # norms and pools must not look at padding while they learn either
        student.train(training)
        with torch.no_grad():
            plain, longer = student(inputs), student(students.padded(inputs, 2))
        for name, values in plain.items():
            cut = longer[name][tuple(slice(0, size) for size in values.shape)]
            torch.testing.assert_close(cut, values, rtol=0, atol=2e-6, msg=f"{use} {name}")
            assert not longer[name][:, 4:].any() if name.startswith(("hidden", "text.hidden", "slices")) else True


@pytest.mark.parametrize(("use", "name"), [("slices", "volume"), ("lstm", "sequence")])
def test_whole_numbers_are_seen_as_the_numbers_that_they_are(students: ModuleType, use: str, name: str) -> None:
    student, inputs = students.built(use, (name,), ("logits",), {}), students.batch((name,))
    whole = {**inputs, name: (4 * inputs[name]).to(torch.int64)}
    with torch.no_grad():
        found = student(whole)["logits"]
        assert torch.equal(found, student({**whole, name: whole[name].float()})["logits"])


def test_a_row_is_seen_alone(students: ModuleType) -> None:
    """What is said of a row does not depend on the others of its batch, but for logits between rows."""
    for use, takes, args, outputs in CASES:
        student, inputs = students.built(use, takes, tuple(outputs), args), students.batch(takes)
        with torch.no_grad():
            whole, one = student(inputs), student({name: values[:1] for name, values in inputs.items()})
        for name in whole:
            if not name.startswith("logits_per"):
                torch.testing.assert_close(whole[name][:1], one[name], rtol=1e-4, atol=1e-5)


def test_an_answer_is_read_where_the_action_points() -> None:
    """Of two cells with other contents the answer follows the one that is pointed at, and teaches the pointer."""
    torch.manual_seed(0)
    heads = Heads(4, {"cell": 4, "answer": 3}, "cell", side=2)
    text, image = torch.randn(1, 4), torch.randn(1, 4, 4, requires_grad=True)
    for cell in range(4):
        with torch.no_grad():
            key = heads.pointer.key(image[0])  # type: ignore[union-attr]
            wanted = torch.linalg.pinv(key) @ (1000.0 * torch.eye(4)[cell])
            heads.pointer.query.weight.zero_()  # type: ignore[union-attr]
            heads.pointer.query.bias.copy_(wanted)  # type: ignore[union-attr]
        found = heads(text, image)
        assert found["cell"].argmax() == cell
        (moved,) = torch.autograd.grad(found["answer"].sum(), image)
        assert moved[0].abs().sum(dim=1).argmax() == cell and moved[0, cell].abs().sum() > 0
    heads = Heads(4, {"cell": 4, "answer": 3}, "cell", side=2)
    heads(text, image)["answer"].sum().backward()
    assert heads.pointer is not None and heads.pointer.key.weight.grad is not None
    assert heads.pointer.key.weight.grad.abs().sum() > 0


def test_exits_of_a_cnn_follow_its_stages(students: ModuleType) -> None:
    args = {"widths": [4, 6, 8], "exits": [1, 2]}
    student = students.built("cnn", ("pixel_values",), ("logits", "exit.1", "exit.2"), args)
    inputs = students.batch(("pixel_values",))
    found = student(inputs)
    stage = student.features[:6](inputs["pixel_values"]).mean(dim=(2, 3))
    torch.testing.assert_close(found["exit.2"], student.exits["2"](stage))
    plain = students.built("cnn", ("pixel_values",), ("logits",), {"widths": [4, 6, 8]})
    assert set(plain.state_dict()) == {name for name in student.state_dict() if not name.startswith("exits")}


@pytest.mark.parametrize(
    ("use", "takes", "args", "outputs", "message"),
    [
        ("lstm", ("pixel_values",), {}, ("logits",), "takes one input of array or tokens, and is given pixel_values"),
        ("lstm", ("sequence", "pixel_values"), {}, (), "inputs.pixel_values: lstm takes no image beside sequence"),
        ("lstm", ("sequence",), {"exits": [2]}, (), "exits of 2 layers are after layers 1 to 1"),
        ("lstm", ("sequence",), {"hiden": 2}, (), "args.hiden: lstm has no such parameter, did you mean 'hidden'"),
        ("lstm", ("sequence",), {}, ("hidden.3",), "no output 'hidden.3', did you mean 'hidden.2'"),
        ("slices", ("sequence",), {}, (), r"slices are of \(D, H, W\)"),
        ("slices", ("volume",), {"stride": 3}, (), "args.stride: 3 is neither 1 nor 2"),
        ("slices", ("volume",), {"heads": {"age": 0}}, (), "args.heads.age: a head of slices has a width of 1 or more"),
        ("multimodal", PAIR, {"heads": {"cell": 5}}, ("cell",), "a pointer at 5 cells needs a square grid"),
        ("multimodal", PAIR, {"width": 9}, (), "4 heads do not divide a width of 9"),
        ("multimodal", PAIR, {"vision_stride": 3}, (), "args.vision_stride: 3 is neither 1 nor 2"),
        ("clip-conv-lstm", ("pixel_values",), {}, (), "takes one input of tokens"),
        ("clip-conv-lstm", PAIR, {"stride": 0}, (), "args.stride: 0 is neither 1 nor 2"),
        ("clip", PAIR, {}, (), "use: 'clip' is neither cnn, clip-conv-lstm, "),
        (
            "cnn",
            ("pixel_values",),
            {"exits": [3]},
            ("logits",),
            "args.exits: .* after 1 to 2",
        ),
    ],
)
def test_what_a_built_in_student_cannot_be_is_refused(
    students: ModuleType, use: str, takes: tuple[str, ...], args: dict[str, Any], outputs: tuple[str, ...], message: str
) -> None:
    with pytest.raises(StageError, match=message):
        students.built(use, takes, outputs, args)
