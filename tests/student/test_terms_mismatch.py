"""Layers, heads, width, patch tokens and vocabularies that differ meet as a term asks for by name."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from teachercache.cache import SignalSchema
from teachercache.cache.codecs import Packing, Ragged, fit_pca
from teachercache.stages.errors import StageError
from teachercache.stages.student.losses import attention_kl, cosine, kl, mse
from teachercache.stages.student.mismatch.layer_terms import expand_layers
from teachercache.stages.student.mismatch.tokens import PatchGrid, resample
from teachercache.stages.student.mismatch.vocabulary import buckets, read_vocabulary
from teachercache.stages.student.objective.objective import Objective, build_objective
from teachercache.stages.student.spec import StudentSpec
from teachercache.stages.student.trial.arms import Lesson
from teachercache.stages.student.trial.trial import Trial

OUTPUTS = {
    "hidden.1": (10, 8),
    "map": (8, 2, 2),
    "attention.0": (2, 10, 10),
    "logits": (6,),
    "token-logits": (4, 6),
    "narrow": (3,),
}
SIGNALS = {
    name: SignalSchema(name, codec, parameters, shape, constants=constants, packing=packing)
    for name, codec, parameters, shape, constants, packing in [
        ("hidden.4", "f16", {}, (17, 8), {}, None),
        ("wide", "f16", {}, (17, 12), {}, None),
        ("coarse", "f16", {}, (5, 8), {}, None),
        ("text", "f16", {}, (12, 8), {}, None),
        ("attention", "f16", {}, (6, 10, 10), {}, None),
        ("logits", "f16", {}, (7,), {}, None),
        ("token-logits", "f16", {}, (4, 7), {}, Packing((0,))),
        ("top", "topk", {"k": 3, "temperatures": [1.0]}, (7,), {}, None),
        ("main", "pca", {"dimensions": 4, "keep": "f16"}, (7,), {"mean": "main.mean", "basis": "main.basis"}, None),
    ]
}
VECTORS = np.random.default_rng(0).normal(size=(50, 7)) * np.arange(7, 0, -1) + 3


class Kept:
    samples = 50

    def constant(self, name: str) -> np.ndarray | None:
        found = fit_pca([VECTORS])
        there = {"main.mean": found.mean.astype(np.float32), "main.basis": found.basis(4)}
        return there.get(name)

    def bank(self, signal: str, rows: int, seed: int) -> tuple[Tensor, Tensor]:
        raise AssertionError("nobody asks for a bank")


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(**term: Any) -> Objective:
    trial = Trial(StudentSpec(name="tiny", use="cnn", objective=(term,)), "distilled", 0)
    return build_objective(trial, OUTPUTS, SIGNALS, 6, kept=Kept())


GIVEN = {name: draw(3, *shape, seed=i) for i, (name, shape) in enumerate(OUTPUTS.items())}
GIVEN["attention.0"] = GIVEN["attention.0"].softmax(-1)
SAID: dict[str, Any] = {name: draw(3, *schema.shape, seed=30 + i) for i, (name, schema) in enumerate(SIGNALS.items())}
SAID["attention"] = SAID["attention"].softmax(-1)
LENGTHS = torch.tensor([4, 2, 1])


def value(objective: Objective) -> Tensor:
    said = {**SAID, "token-logits": Ragged(SAID["token-logits"], LENGTHS)}
    return objective(GIVEN, Lesson(3, torch.zeros(3).long(), 3, said))[0]


def test_patch_tokens_meet_on_the_coarser_grid_without_class_tokens() -> None:
    term = {"loss": "mse", "output": "hidden.1", "tokens": "grid"}
    hidden, finer = GIVEN["hidden.1"], SAID["hidden.4"]
    down = resample(finer, PatchGrid(4, 4), PatchGrid(3, 3))
    torch.testing.assert_close(value(build(**term, signal="hidden.4")), mse(hidden[:, 1:], down).mean())
    own = resample(hidden, PatchGrid(3, 3), PatchGrid(2, 2))
    torch.testing.assert_close(value(build(**term, signal="coarse")), mse(own, SAID["coarse"][:, 1:]).mean())
    maps = value(build(loss="cosine", output="map", signal="coarse", tokens="grid"))
    flat = GIVEN["map"].flatten(2).transpose(1, 2)
    torch.testing.assert_close(maps, cosine(flat, SAID["coarse"][:, 1:]).mean())
    both = build(**term, signal="wide", projector="orthogonal")
    assert value(both).isfinite() and next(iter(both.projectors.values())).linear.weight.shape == (12, 8)  # type: ignore[union-attr]


def test_heads_are_averaged_where_the_term_says_so() -> None:
    term = {"loss": "attention_kl", "output": "attention.0", "signal": "attention"}
    wanted = attention_kl(GIVEN["attention.0"].mean(1), SAID["attention"].mean(1)).mean()
    torch.testing.assert_close(value(build(**term, heads="mean")), wanted)


def test_a_student_learns_the_first_of_a_signals_own_main_directions() -> None:
    found = fit_pca([VECTORS])
    wanted = (SAID["main"].numpy() - found.mean) @ found.directions[:, :3]
    loss = value(build(loss="mse", output="narrow", signal="main", projector="pca"))
    torch.testing.assert_close(
        loss, mse(GIVEN["narrow"], torch.from_numpy(wanted).float()).mean(), rtol=1e-4, atol=1e-4
    )
    assert not list(build(loss="mse", output="narrow", signal="main", projector="pca").parameters())


def vocabularies(folder: Path) -> dict[str, Any]:
    student = {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4, "<s>": 5}
    teacher = {"e": 0, "x": 1, "b": 2, "y": 3, "c": 4, "a": 5, "z": 6}
    (folder / "vocab.json").write_text(json.dumps(student))
    content = {"model": {"vocab": teacher}, "added_tokens": []}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    return {"student": str(folder / "vocab.json"), "teacher": str(folder / "tokenizer.json")}


def test_logits_over_two_vocabularies_meet_at_the_strings_they_share(tmp_path: Path) -> None:
    files = vocabularies(tmp_path)
    own, theirs = torch.tensor([0, 1, 2, 4]), torch.tensor([5, 2, 4, 0])
    for temperature in (1.0, 3.0):
        q, p = buckets(GIVEN["logits"] / temperature, own), buckets(SAID["logits"] / temperature, theirs)
        wanted = temperature**2 * kl(q, p).mean()
        found = value(build(loss="kl", signal="logits", vocabulary=files, temperature=temperature))
        torch.testing.assert_close(found, wanted)
    tokens = value(build(loss="jensen", output="token-logits", signal="token-logits", vocabulary=files))
    assert tokens.isfinite() and float(tokens) > 0
    assert read_vocabulary(files["teacher"])["z"] == 6


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ({"loss": "mse", "output": "hidden.1", "signal": "hidden.4"}, "two grids meet with `tokens: grid`"),
        ({"loss": "mse", "output": "hidden.1", "signal": "text", "tokens": "grid"}, "12 tokens make no square grid"),
        ({"loss": "attention_kl", "output": "attention.0", "signal": "attention"}, "`heads: mean`"),
        ({"loss": "minilm", "output": "hidden.1", "signal": "text", "heads": "mean"}, "heads: mean is for attention"),
        ({"loss": "mse", "output": "narrow", "signal": "logits", "projector": "pca"}, "needs a signal of codec pca"),
        ({"loss": "mse", "output": "logits", "signal": "main", "projector": "pca"}, "pca keeps 4 directions, and"),
        ({"loss": "mse", "output": "hidden.*", "signal": "hidden.4"}, r"no output 'hidden\.\*'"),
    ],
)
def test_what_no_name_brings_together_is_refused(term: dict[str, Any], message: str) -> None:
    with pytest.raises(StageError, match=message):
        build(**term)


def test_vocabularies_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    files = vocabularies(tmp_path)
    (tmp_path / "other.json").write_text(json.dumps({"q": 0, "a": 1}))
    (tmp_path / "list.json").write_text("[1, 2]")
    for term, message in (
        ({"loss": "mse", "vocabulary": files}, "mse compares no vocabularies"),
        ({"loss": "uld", "vocabulary": files}, "uld compares no vocabularies"),
        (
            {"loss": "kl", "signal": "top", "vocabulary": files},
            "keeps the top 3 entries alone; over another vocabulary",
        ),
        ({"loss": "kl", "vocabulary": {**files, "teacher": str(tmp_path / "other.json")}}, "use the loss uld"),
        ({"loss": "kl", "vocabulary": {**files, "teacher": str(tmp_path / "list.json")}}, "is no vocab.json"),
        ({"loss": "kl", "vocabulary": {**files, "teacher": str(tmp_path / "none.json")}}, "No such file"),
        ({"loss": "kl", "output": "narrow", "vocabulary": files}, r"has id 4, and the logits are \(3,\)"),
    ):
        with pytest.raises(StageError, match=message):
            build(**{"signal": "logits", **term})


KEPT = ["logits", *(f"hidden.{n}" for n in range(13)), "attention.3", "attention.7", "attention.11", "vision.hidden.6"]


def expanded(use: str, args: dict[str, Any], **term: Any) -> list[tuple[str, str | None]]:
    terms = ({"loss": "kl", "signal": "logits"}, {"loss": "mse", **term})
    student = expand_layers(StudentSpec(name="tiny", use=use, args=args, objective=terms), KEPT)
    assert student.objective[0].loss == "kl" and all(each.layers is None for each in student.objective)
    return [(each.output, each.signal) for each in student.objective[1:]]


def test_a_term_over_layers_becomes_one_for_each() -> None:
    hidden = {"output": "hidden.*", "signal": "hidden.*"}
    vit, four = "transformers:ViTConfig", {"num_hidden_layers": 4}
    uniform = [("hidden.1", "hidden.3"), ("hidden.2", "hidden.6"), ("hidden.3", "hidden.9"), ("hidden.4", "hidden.12")]
    assert expanded(vit, four, **hidden, layers="uniform") == uniform
    last = [(f"hidden.{n}", f"hidden.{n + 8}") for n in (1, 2, 3, 4)]
    assert expanded(vit, four, **hidden, layers="last") == last
    pairs = [("hidden.0", "hidden.2"), ("hidden.1", "hidden.5")]
    assert expanded("cnn", {}, **hidden, layers=[[0, 2], [1, 5]]) == pairs
    assert len(expanded(vit, {}, **hidden, layers="uniform")) == 12  # what the config class itself says
    attention = expanded("my:student", {"depth": 3}, output="attention.*", signal="attention.*", layers="uniform")
    assert attention == [
        ("attention.0", "attention.3"),
        ("attention.1", "attention.7"),
        ("attention.2", "attention.11"),
    ]
    tower = {"output": "vision.hidden.*", "signal": "vision.hidden.*", "layers": "last"}
    clip = expanded("transformers:CLIPConfig", {"vision_config": {"num_hidden_layers": 1}}, **tower)
    assert clip == [("vision.hidden.1", "vision.hidden.6")]


@pytest.mark.parametrize(
    ("use", "args", "term", "message"),
    [
        ("cnn", {}, {"layers": "uniform"}, "args do not say how many layers the student has; write pairs"),
        ("a:b", {"depth": 13}, {"layers": "uniform"}, "a student of 13 layers cannot learn layer by layer from 12"),
        ("a:b", {"depth": 2}, {"layers": "last", "output": "hidden.1"}, "output and a signal that end with"),
        ("a:b", {"depth": 2}, {"layers": "last", "signal": "text.hidden.*"}, r"no signal text\.hidden\.\*"),
    ],
)
def test_layers_that_are_not_there_are_refused(use: str, args: dict[str, Any], term: Any, message: str) -> None:
    with pytest.raises(StageError, match=message):
        expanded(use, args, **{"output": "hidden.*", "signal": "hidden.*", **term})
