"""From the command line: a text classifier teaches students that read texts and sequences; there is no image at all."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from teachercache.pipeline.config import load_config
from teachercache.pipeline.students.training import train_students
from teachercache.stages.errors import Interrupted
from teachercache.stages.student.files.saved import load_student, read_student
from teachercache.stages.student.inputs.shape import blank_inputs

WORDS = ("red", "green", "blue", "cat", "dog", "bird", "tree", "stone")
TEXT = {"vocab_size": 12, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
OWN = '''
import torch
from torch import nn


class Lstm(nn.Module):
    """Reads a sequence to its real end; one class head, one number."""

    def __init__(self, classes, inputs, width=6):
        super().__init__()
        features = inputs["steps"].shape[-1]
        self.read = nn.LSTM(features, width, batch_first=True)
        self.head, self.number = nn.Linear(width, classes), nn.Linear(width, 1)

    def forward(self, inputs):
        states, _ = self.read(inputs["steps"])
        last = states[torch.arange(len(states)), inputs["steps_lengths"] - 1]
        return {"logits": self.head(last), "score": self.number(last)}
'''


def save_words(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(("[PAD]", "[UNK]", *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "model_max_length": 8}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)


def write_samples(path: Path, first: int, count: int) -> None:
    """Samples of two texts, a sequence, a class and a number; every fifth one has no number."""
    with tarfile.open(path, "w") as tar:
        for number in range(first, first + count):
            rng, buffer = np.random.default_rng(number), io.BytesIO()
            np.save(buffer, rng.normal(size=(int(rng.integers(1, 6)), 3)).astype(np.float32))
            texts = [" ".join(rng.choice(WORDS, rng.integers(2, 7))) for _ in range(2)]
            members = {"json": json.dumps(texts).encode(), "npy": buffer.getvalue(), "cls": str(number % 3).encode()}
            if number % 5:
                members["score"] = json.dumps(float(rng.normal())).encode()
            for ext, data in members.items():
                member = tarfile.TarInfo(f"{number:04d}.{ext}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, a random text classifier of three classes, and a module of students."""
    from transformers import BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("texts")
    for shard in range(2):
        write_samples(folder / f"train-{shard}.tar", 20 * shard, 20)
    write_samples(folder / "test-0.tar", 100, 9)
    torch.manual_seed(0)
    config = BertConfig(**TEXT, max_position_embeddings=12, num_labels=3, initializer_range=0.5)
    BertForSequenceClassification(config).save_pretrained(folder / "teacher")
    save_words(folder / "teacher")
    (folder / "own_lstm.py").write_text(OWN)
    return folder


@pytest.fixture
def recipe(tmp_path: Path, ground: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    monkeypatch.syspath_prepend(str(ground))
    fields = {
        "caption": {"kind": "json", "ext": ["json"]},
        "steps": {"kind": "array", "ext": ["npy"]},
        "score": {"kind": "json", "ext": ["score"], "optional": True},
    }
    text = {"text": "caption", "tokenizer": str(ground / "teacher"), "max_tokens": 8}
    reader = {
        "name": "reader",
        "use": "transformers:BertConfig",
        "args": {**TEXT, "hidden_dropout_prob": 0.3},
        "inputs": {"input_ids": text},
        "objective": [{"loss": "cross_entropy"}, {"loss": "kl", "signal": "logits"}],
    }
    follower = {
        "name": "follower",
        "use": "own_lstm:Lstm",
        "inputs": {"steps": {"array": "steps", "max_tokens": 5}},
        "objective": [{"loss": "kl", "signal": "logits"}, {"loss": "mse", "output": "score", "label": "score"}],
    }

    def make(**sections: Any) -> Path:
        source = {"path": str(ground / "train-*.tar"), "image": [], "fields": fields}
        content: dict[str, Any] = {
            "name": "texts",
            "output": str(tmp_path / "run"),
            "source": source,
            "views": {"count": 2, "operations": [{"op": "caption"}]},
            "teacher": {"model": str(ground / "teacher"), "inputs": {"text": "caption"}, "device": "cpu", "workers": 0},
            "cache": {"block": 8, "signals": {"logits": {}}},
            "train": {
                "steps": 6,
                "batch_size": 12,
                "seeds": [0],
                "controls": ["labels-only", "shuffled-cache"],
                "labelled": {"count": 12, "per_batch": 4, "fields": ["score"]},
                "checkpoint_every": 2,
                "device": "cpu",
            },
            "students": [reader, follower],
            "evaluate": {
                "source": {**source, "path": str(ground / "test-0.tar")},
                "latency_runs": 5,
                "latency_batches": [1],
            },
            **sections,
        }
        file = tmp_path / "recipe.yaml"
        file.write_text(yaml.safe_dump(json.loads(json.dumps(content))))
        return file

    return make


def weights(run: Path, student: str = "reader", arm: str = "distilled") -> dict[str, torch.Tensor]:
    return load_file(run / "students" / student / arm / "seed-0" / "student.safetensors")


@pytest.mark.slow  # three models are measured, each in a process of its own
def test_texts_and_sequences_go_from_samples_to_a_report(
    recipe: Callable[..., Path], run: Callable[..., str], tmp_path: Path
) -> None:
    file = recipe()
    assert "ready" in run("check", file)
    assert "trained 6 of 6" in run("run", file)
    folder = tmp_path / "run" / "students" / "reader" / "distilled" / "seed-0"
    saved = read_student(folder)
    assert saved.shape.inputs["input_ids"].vocabulary == 10 and saved.shape.inputs["attention_mask"].kind == "mask"
    outputs = load_student(folder)(blank_inputs(saved.shape.inputs, 3))
    assert outputs["logits"].shape == (3, 3)
    found = json.loads((folder / "evaluation.json").read_text())
    assert found["samples"] == 9 and 0 <= found["top1"] <= 1
    assert (tmp_path / "run" / "report.html").exists()
    assert "trained 6 of 6" in run("train", file)  # again: nothing is left to do


def test_a_training_on_texts_that_was_killed_ends_with_equal_weights(
    recipe: Callable[..., Path], run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = recipe()
    run("cache", "build", file)
    run("train", file)
    expected = weights(tmp_path / "run")
    (tmp_path / "run" / "students").rename(tmp_path / "undisturbed")
    asked = iter([False, False, False, True])
    with pytest.raises(Interrupted):
        train_students(load_config(file), lambda: next(asked))
    checkpoints = tmp_path / "run" / "students" / "reader" / "distilled" / "seed-0" / "checkpoints"
    newest = max(checkpoints.iterdir(), key=lambda path: path.name)
    rmtree(newest)  # as if killed before it was written
    content = yaml.safe_load(file.read_text())
    content["train"]["workers"] = 2  # who makes the batches changes nothing
    file.write_text(yaml.safe_dump(content))
    assert "trained 6 of 6" in run("train", file)
    torch.testing.assert_close(weights(tmp_path / "run"), expected, rtol=0, atol=0)


def test_a_reader_learns_from_tokens_of_texts_that_differ_in_length(
    recipe: Callable[..., Path], run: Callable[..., str], ground: Path, tmp_path: Path
) -> None:
    """A student with the teacher's own weights has nothing to learn: hidden states, attention and relations are those
    of the same tokens, and 0 but for the rounding of the cache."""
    text = {"text": "caption", "tokenizer": str(ground / "teacher"), "max_tokens": 8}
    terms = [
        {"loss": "mse", "output": "hidden.*", "signal": "hidden.*", "layers": "uniform"},
        {"loss": "cosine", "output": "hidden.-1", "signal": "pooled"},
        {"loss": "attention_kl", "output": "attention.0", "signal": "attention.0"},
        {
            "loss": "minilm",
            "output": "hidden.1",
            "signal": "hidden.1",
            "sample_weight": {"by": "entropy", "signals": ["logits"]},
        },
    ]
    reader = {
        "name": "reader",
        "use": "transformers:BertConfig",
        "args": {
            **TEXT,
            "max_position_embeddings": 12,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
        },
        "inputs": {"input_ids": text},
        "objective": terms,
    }
    pooled = {"point": "hidden.-1", "reduce": "mean"}
    cache = {"block": 8, "signals": {"logits": {}, "hidden.1": {"codec": "f32"}, "pooled": pooled, "attention.0": {}}}
    train = {"steps": 1, "batch_size": 12, "seeds": [0], "log_every": 1, "device": "cpu"}
    file = recipe(students=[reader], cache=cache, train=train)
    run("cache", "build", file)
    assert "trained 1 of 1" in run("train", file)
    history = (tmp_path / "run/students/reader/distilled/seed-0/history.jsonl").read_text()
    terms_of_first = json.loads(history.splitlines()[0])["terms"]
    assert list(terms_of_first) == ["mse:hidden.1", "cosine:pooled", "attention_kl:attention.0", "minilm:hidden.1"]
    assert all(0 < value < 10 for value in terms_of_first.values())
    assert own_loss(load_config(file), ground / "teacher") < 1e-5


def own_loss(config: Any, teacher: Path) -> float:
    """What the objective says of the teacher itself, on the first batch."""
    from transformers import BertForSequenceClassification

    from teachercache.pipeline.jobs import open_joined
    from teachercache.pipeline.students.training import chosen_trials, open_stream, student_shape
    from teachercache.stages.student.trial.arms import lesson
    from teachercache.stages.student.trial.assembly import assemble

    trials = chosen_trials(config)
    cache, join = open_joined(config)
    stream = open_stream(config, cache, join, trials)
    student, phases = assemble(trials[0], stream, student_shape(config, cache), config.train.steps)
    student.model.load_state_dict(BertForSequenceClassification.from_pretrained(teacher).state_dict())
    batch = next(iter(stream.batches(0, 1)))
    inputs = batch.shared().inputs(trials[0].student.takes, 12)
    assert len(inputs["attention_mask"].sum(1).unique()) > 1
    with torch.no_grad():
        return float(phases[0].objective(student.eval()(inputs), lesson(batch, "distilled"), inputs)[0])


@pytest.mark.parametrize(
    ("student", "change", "said"),
    [
        (
            0,
            {"inputs": {"input_ids": {"text": "captoin", "tokenizer": "."}}},
            "no text 'captoin', did you mean 'caption'",
        ),
        (0, {"inputs": {"input_ids": {"text": "caption", "tokenizer": "no/where"}}}, "there is no folder no/where"),
        (0, {"inputs": None}, "students.reader.inputs.pixel_values: the source has no image"),
        (1, {"objective": [{"loss": "mse", "output": "score", "label": "scroe"}]}, "no field 'scroe', did you mean"),
        (1, {"objective": [{"loss": "cross_entropy", "label": "score"}]}, "label 'score'"),
        (1, {"objective": [{"loss": "mse", "output": "logits", "label": "score"}]}, "label 'score'"),
    ],
)
def test_what_a_student_cannot_see_or_learn_is_said_by_check(
    recipe: Callable[..., Path], run: Callable[..., str], student: int, change: dict[str, Any], said: str
) -> None:
    content = yaml.safe_load(recipe().read_text())
    content["students"] = [{**content["students"][student], **change}]
    content["train"]["controls"] = []
    assert said in run("check", recipe(**content), code=2)


def test_a_text_that_is_too_long_names_its_sample(
    recipe: Callable[..., Path], run: Callable[..., str], tmp_path: Path
) -> None:
    content = yaml.safe_load(recipe().read_text())
    content["students"][0]["inputs"]["input_ids"]["max_tokens"] = 3
    file = recipe(students=content["students"][:1])
    run("cache", "build", file)
    said = run("train", file, code=2)
    assert "has" in said and "tokens, and 3 are the most" in said and "students.reader.inputs.input_ids" in said


def test_another_tokenizer_is_another_trial(
    recipe: Callable[..., Path], run: Callable[..., str], tmp_path: Path, ground: Path
) -> None:
    copytree(ground / "teacher", tmp_path / "words")
    content = yaml.safe_load(recipe().read_text())
    content["students"][0]["inputs"]["input_ids"]["tokenizer"] = str(tmp_path / "words")
    file = recipe(students=content["students"][:1])
    run("cache", "build", file)
    run("train", file)
    held = (tmp_path / "words" / "tokenizer.json").read_text()
    (tmp_path / "words" / "tokenizer.json").write_text(held.replace('"cat"', '"cow"'))
    assert "inputs.input_ids.tokenizer was" in run("train", file, code=2)
    assert "its input input_ids is not what it was trained on: tokenizer was" in run("evaluate", file, code=2)
