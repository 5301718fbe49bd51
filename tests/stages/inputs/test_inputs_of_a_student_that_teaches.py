"""A student that teaches is given what it was trained on: images, texts, arrays and sequences, to the last bit."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from teachercache.data import DataError
from teachercache.stages.errors import StageError
from teachercache.stages.generation.inputs import StudentInputs, student_inputs
from teachercache.stages.student.inputs.feed import Feed
from teachercache.stages.student.models.builders import StudentShape
from teachercache.stages.student.spec import InputSource, StudentSpec
from teachercache.stages.student.stream.join import Join
from teachercache.stages.teacher.inputs.loader import PreparedPieces, plan_pieces
from teachercache.stages.teacher.spec import TeacherSpec

FIELDS = {
    "caption": {"kind": "json", "ext": ["json"]},
    "volume": {"kind": "array", "ext": ["npy"]},
    "sequence": {"kind": "array", "ext": ["seq"]},
    "parts": {"kind": "array", "ext": ["npz"]},
}


def graduate(folder: Path, join: Join, words: Path) -> tuple[dict[str, InputSource], Feed, TeacherSpec]:
    """What a student takes, what made it in training, and the teacher that it became; of it student.json alone."""
    takes = {
        "pixel_values": InputSource.model_validate({"image": {"size": 8, "mean": [0.4]}}),
        "input_ids": InputSource(text="caption", tokenizer=str(words), max_tokens=10),
        "volume": InputSource(array="volume"),
        "steps": InputSource(array="sequence", max_tokens=6),
        "ids": InputSource(array="parts.ids"),
    }
    feed = Feed(join, {source: f"students.it.inputs.{name}" for name, source in takes.items()})
    student = StudentSpec.model_validate(
        {"name": "it", "use": "cnn", "inputs": takes, "objective": [{"loss": "cross_entropy"}]}
    )
    shape = StudentShape(5, 3, 16, feed.shapes(takes))
    content = {"format": 1, "student": student.model_dump(mode="json"), "shape": asdict(shape), "outputs": ["logits"]}
    folder.mkdir()
    (folder / "student.json").write_text(
        json.dumps({**content, "arm": "distilled", "seed": 0, "steps": 1, "seconds": 1})
    )
    return takes, feed, TeacherSpec(student=str(folder))


def prepared(join: Join, spec: TeacherSpec) -> list[dict[str, torch.Tensor]]:
    """The teacher's inputs of every shard, as phase one makes them."""
    prepare = student_inputs(spec, Path(str(spec.student)), join._source, join._policy)
    assert isinstance(prepare, StudentInputs)
    pieces = plan_pieces(join._source, join._source.shards(), 100)
    batches = PreparedPieces(join._source, join._policy, prepare, pieces, False)
    return [dict(batches[number].inputs) for number in range(len(batches))]


def test_a_teacher_is_given_what_it_was_trained_on(joined: Callable[..., Join], words: Path, tmp_path: Path) -> None:
    join = joined()
    takes, feed, spec = graduate(tmp_path / "graduate", join, words)
    first = 0
    for inputs in prepared(join, spec):
        rows = np.arange(first, first + len(inputs["volume"]))
        expected = feed.shared(rows, torch.device("cpu")).inputs(takes, len(rows))
        assert set(inputs) == set(expected) and "attention_mask" in inputs and "steps_lengths" in inputs
        for name, values in expected.items():
            assert inputs[name].dtype == values.dtype and torch.equal(inputs[name], values), name
        first += len(rows)
    assert first == join.cache.rows


def test_what_a_student_was_not_trained_on_is_refused(joined: Callable[..., Join], words: Path, tmp_path: Path) -> None:
    join = joined()
    _, _, spec = graduate(tmp_path / "graduate", join, words)
    document = tmp_path / "graduate/student.json"
    content = json.loads(document.read_text())
    content["shape"]["inputs"]["input_ids"]["tokenizer"] = "of other words"
    document.write_text(json.dumps(content))
    with pytest.raises(StageError, match="is not the tokenizer that the student was trained with"):
        prepared(join, spec)
    other = joined(lambda number, sample: {**sample, "npy": sample["seq"]})
    _, _, spec = graduate(tmp_path / "other", join, words)
    with pytest.raises(DataError, match=r"field 'volume' is \(\d, 2\)"):
        prepared(other, spec)
    less = joined(fields={name: it for name, it in FIELDS.items() if name != "caption"}, views={"size": 16})
    with pytest.raises(StageError, match="has no text 'caption'"):
        prepared(less, spec)
