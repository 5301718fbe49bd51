"""A finished student is built again from its folder alone, and gives the same outputs to the bit."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from teachercache.stages.errors import StageError
from teachercache.stages.student.files.saved import load_student, read_student, save_student
from teachercache.stages.student.fleet import train_fleet
from teachercache.stages.student.inputs.images import prepare_views
from teachercache.stages.student.models.builders import build_student
from teachercache.stages.student.spec import StudentSpec
from teachercache.stages.student.trial.trial import Trial, plan_trials

VIT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "patch_size": 4}
RESNET = {"embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 1], "layer_type": "basic"}
OWN = """
from torch import nn
class Own(nn.Module):
    def __init__(self, classes, size):
        super().__init__()
        self.norm = nn.BatchNorm1d(size * size)
        self.linear = nn.Linear(size * size, classes)
        self.tied = self.linear
    def forward(self, inputs):
        return {"logits": self.linear(self.norm(inputs["pixel_values"].flatten(1)))}
"""
Finish = Callable[..., tuple[Path, Any]]


@pytest.fixture
def finish(memory: ModuleType, tmp_path: Path) -> Finish:
    """Train a student for two steps; its folder, and a batch of pixel values."""

    def run(use: str, args: dict[str, Any], *terms: dict[str, Any]) -> tuple[Path, Any]:
        objective = ({"loss": "cross_entropy"}, *terms)
        student = StudentSpec(name="tiny", use=use, args=args, objective=objective)
        train = memory.make_train(steps=2)
        stream = memory.MemoryStream(train)
        (result,) = train_fleet(
            plan_trials([student], train), stream, memory.SHAPE, tmp_path, train, torch.device("cpu")
        )
        assert result.status == "finished", result.reason
        return result.folder, prepare_views(torch.from_numpy(stream.images), student.input)

    return run


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "own_saved.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_saved", None)


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("use", "args", "terms"),
    [
        ("cnn", {"widths": [4, 6]}, ({"loss": "mse", "output": "embedding", "signal": "embedding"},)),
        ("transformers:ViTConfig", VIT, ({"loss": "attention_kl", "output": "attention.0", "signal": "attention.0"},)),
        ("transformers:ResNetConfig", RESNET, ()),
        ("own_saved:Own", {}, ()),
    ],
)
def test_a_saved_student_returns_what_it_returned(
    finish: Finish, memory: ModuleType, use: str, args: dict[str, Any], terms: tuple[dict[str, Any], ...]
) -> None:
    folder, pixels = finish(use, args, *terms)
    first, second = load_student(folder), load_student(folder)
    saved = read_student(folder)
    assert (saved.shape, saved.arm, saved.seed, saved.steps) == (
        memory.SHAPE.completed(saved.student),
        "distilled",
        0,
        2,
    )
    assert set(saved.outputs) == {"logits"} | {term["output"] for term in terms}
    untrained = build_student(saved.student, saved.shape, saved.outputs, saved.seed).eval()
    with torch.no_grad():
        found, again, before = (student({"pixel_values": pixels}) for student in (first, second, untrained))
    assert set(found) >= set(saved.outputs) and not first.training
    torch.testing.assert_close(found, again, rtol=0, atol=0)
    assert not torch.equal(found["logits"], before["logits"])


def test_saving_and_loading_keeps_every_bit(memory: ModuleType, tmp_path: Path) -> None:
    trial = Trial(memory.make_student(), "distilled", 3)
    student = build_student(trial.student, memory.SHAPE, trial.outputs, trial.seed)
    for tensor in student.state_dict().values():
        tensor.copy_(torch.rand_like(tensor.float()) * 9)
    save_student(tmp_path, trial, student, memory.SHAPE, steps=7, seconds=1.5)
    torch.testing.assert_close(load_student(tmp_path).state_dict(), student.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(("config", "args"), [("transformers:ViTConfig", VIT), ("transformers:ResNetConfig", RESNET)])
def test_a_transformers_student_is_loaded_by_transformers_too(
    finish: Finish, config: str, args: dict[str, Any]
) -> None:
    from transformers import AutoModelForImageClassification

    folder, pixels = finish(config, args)
    theirs = AutoModelForImageClassification.from_pretrained(folder / "hf").eval()
    with torch.no_grad():
        expected = theirs(pixel_values=pixels).logits
        torch.testing.assert_close(load_student(folder)({"pixel_values": pixels})["logits"], expected, rtol=0, atol=0)


def test_other_outputs_can_be_asked_of_a_saved_student(finish: Finish) -> None:
    folder, pixels = finish("transformers:ViTConfig", VIT)
    outputs = load_student(folder, ("hidden.1", "attention.-1"))({"pixel_values": pixels})
    assert outputs["hidden.1"].shape[1:] == (10, 16) and outputs["attention.-1"].shape[1:] == (2, 10, 10)


def test_students_of_every_class_are_saved_for_transformers_too(students: ModuleType, tmp_path: Path) -> None:
    """Loaded again, they are what they were, with other outputs too; their architecture is not guessed anew."""
    import transformers

    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12}
    clip = {"text_config": {**size, "eos_token_id": 1}, "vision_config": {**size, "patch_size": 4}, "projection_dim": 6}
    pair = ("pixel_values", "input_ids")
    for use, takes, args, output, other in (
        ("transformers:CLIPConfig", pair, clip, "text_embeds", "vision.hidden.1"),
        ("transformers:CLIPTextConfig", ("input_ids",), {**size, "eos_token_id": 1}, "text_embeds", "hidden.1"),
        ("transformers:BertConfig", ("input_ids",), size, "logits", "hidden.0"),
        ("clip-conv-lstm", pair, {}, "image_embeds", "text_embeds"),
    ):
        folder = tmp_path / use.replace(":", "-")
        folder.mkdir()
        spec, shape = students.settings(use, takes, args, output), students.given(takes)
        student = build_student(spec, shape, (output,), 0).eval()
        trial = Trial(spec, "distilled", 0, (output,))
        save_student(folder, trial, student, shape.completed(spec), steps=1, seconds=0.0)
        inputs = students.batch(takes)
        with torch.no_grad():
            found = load_student(folder)(inputs)[output]
            torch.testing.assert_close(found, student(inputs)[output], rtol=0, atol=0)
            assert other in load_student(folder, (other,))(inputs)
        if use.startswith("transformers"):
            theirs = getattr(transformers, type(student.model).__name__).from_pretrained(folder / "hf")
            torch.testing.assert_close(theirs.state_dict(), student.model.state_dict(), rtol=0, atol=0)


def test_a_folder_without_a_finished_student_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="holds no finished student"):
        load_student(tmp_path)


def test_weights_of_another_student_are_refused(finish: Finish) -> None:
    folder, _ = finish("cnn", {"widths": [4, 6]})
    document = json.loads((folder / "student.json").read_text())
    document["student"]["args"]["widths"] = [4, 8]
    (folder / "student.json").write_text(json.dumps(document))
    with pytest.raises(StageError, match="does not hold the weights of this student"):
        load_student(folder)


def test_a_student_from_before_there_were_texts_and_arrays_is_read(finish: Finish) -> None:
    folder, pixels = finish("cnn", {"widths": [4, 8]})
    expected = load_student(folder)({"pixel_values": pixels})["logits"]
    content = json.loads((folder / "student.json").read_text())
    del content["shape"]["inputs"], content["student"]["inputs"]
    (folder / "student.json").write_text(json.dumps(content))
    torch.testing.assert_close(load_student(folder)({"pixel_values": pixels})["logits"], expected, rtol=0, atol=0)
