"""Students that see images, texts and arrays in any mix train side by side on one stream."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from teachercache.stages.errors import StageError
from teachercache.stages.student.files.saved import load_student
from teachercache.stages.student.fleet import train_fleet
from teachercache.stages.student.inputs.shape import InputShape
from teachercache.stages.student.models.builders import StudentShape, build_student
from teachercache.stages.student.spec import StudentSpec, TrainSpec
from teachercache.stages.student.stream.join import Join
from teachercache.stages.student.stream.stream import Stream
from teachercache.stages.student.trial.trial import Trial, needed_fields, needed_sources, plan_trials

CPU, SHAPE = torch.device("cpu"), StudentShape(5, 3, 16)
FEW = {"count": 4, "per_batch": 3, "fields": ["score", "cell"]}


class Pair(nn.Module):
    """CLIP-like: an image and a text become embeddings; logits of what both say, a cell and a number."""

    def __init__(self, classes: int, size: int, inputs: dict[str, InputShape], width: int = 8) -> None:
        super().__init__()
        self.image = nn.Linear(3 * size * size, width)
        self.words = nn.Embedding(inputs["input_ids"].vocabulary or 0, width)
        self.head, self.cell, self.score = nn.Linear(2 * width, classes), nn.Linear(width, 4), nn.Linear(width, 1)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        image = self.image(inputs["pixel_values"].flatten(1))
        mask = inputs["attention_mask"].unsqueeze(-1)
        text = (self.words(inputs["input_ids"]) * mask).sum(1) / mask.sum(1)
        logits = self.head(torch.cat([image, text], dim=1))
        outputs = {"logits": logits, "image_embeds": image, "text_embeds": text}
        return {**outputs, "cell": self.cell(image), "score": self.score(text)}


class Flat(nn.Module):
    """Sees an array alone."""

    def __init__(self, classes: int, inputs: dict[str, InputShape]) -> None:
        super().__init__()
        self.head = nn.Linear(int(np.prod([side or 0 for side in inputs["volume"].shape])), classes)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": self.head(inputs["volume"].flatten(1))}


def students(words: Path) -> list[StudentSpec]:
    text = {"text": "caption", "tokenizer": str(words), "max_tokens": 12}
    pair = {
        "name": "pair",
        "use": f"{__name__}:Pair",
        "inputs": {"pixel_values": {"image": {"size": 8}}, "input_ids": text},
        "objective": [
            {"loss": "kl", "signal": "logits"},
            {"loss": "cross_entropy", "output": "cell", "label": "cell"},
            {"loss": "mse", "output": "score", "label": "score"},
        ],
    }
    flat = {
        "name": "flat",
        "use": f"{__name__}:Flat",
        "inputs": {"volume": {"array": "volume"}},
        "objective": [{"loss": "kl", "signal": "logits"}, {"loss": "cross_entropy"}],
    }
    return [StudentSpec.model_validate(pair), StudentSpec.model_validate(flat)]


def trials_and_stream(join: Join, words: Path, **train: Any) -> tuple[tuple[Trial, ...], Stream, TrainSpec]:
    settings = {"steps": 5, "batch_size": 10, "seeds": [0], "labelled": FEW, **train}
    spec = TrainSpec.model_validate({"controls": ["labels-only", "shuffled-cache"], **settings})
    trials = plan_trials(students(words), spec)
    sources, fields = needed_sources(trials), needed_fields(trials)
    return trials, Stream(join.cache, join, spec, ("logits",), CPU, True, sources, fields), spec


def trained(folder: Path, join: Join, words: Path, **train: Any) -> dict[str, dict[str, Tensor]]:
    trials, stream, spec = trials_and_stream(join, words, **train)
    results = train_fleet(trials, stream, SHAPE, folder, spec, CPU)
    assert all(result.status == "finished" for result in results), results
    return {result.trial.name: load_student(result.folder).state_dict() for result in results}


def test_students_of_any_inputs_learn_side_by_side_and_workers_change_nothing(
    joined: Callable[..., Join], words: Path, tmp_path: Path
) -> None:
    join = joined()
    here, workers = (trained(tmp_path / str(n), join, words, workers=n) for n in (0, 2))
    assert len(here) == 6
    torch.testing.assert_close(here, workers, rtol=0, atol=0)
    pair, alone = here["pair/distilled/seed-0"], here["pair/labels-only/seed-0"]
    assert not torch.equal(pair["head.weight"], alone["head.weight"])
    trials, stream, _ = trials_and_stream(join, words)
    shape = replace(SHAPE, inputs=stream.input_shapes(trials[0].student.takes))
    begun = build_student(trials[0].student, shape, trials[0].outputs, 0).state_dict()
    changed = {name.split(".")[0] for name in begun if not torch.equal(begun[name], alone[name])}
    assert changed == {"image", "words", "cell", "score"}  # learnt from label fields alone: no signal reached the head


def test_labels_that_do_not_suit_the_output_are_refused_before_the_first_step(
    joined: Callable[..., Join], words: Path, tmp_path: Path
) -> None:
    trials, stream, train = trials_and_stream(joined(lambda number, sample: {**sample, "cell": b"4"}), words)
    with pytest.raises(StageError, match=r"label 'cell' .*4"):
        train_fleet(trials, stream, SHAPE, tmp_path, train, CPU)
