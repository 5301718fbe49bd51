"""Logits of each token from the source to a student: what the cache keeps is what plain transformers says, sparse or as
what enters the head, and a student learns from it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from teachercache.cache import HeadLogits, Ragged, TokenLogits, open_cache
from teachercache.cache.keeping.verify import verify_cache
from teachercache.stages.errors import StageError
from teachercache.stages.student.files.saved import load_student
from teachercache.stages.student.fleet import train_fleet
from teachercache.stages.student.inputs.shape import InputShape
from teachercache.stages.student.models.builders import StudentShape
from teachercache.stages.student.spec import StudentSpec, TrainSpec
from teachercache.stages.student.stream.join import Join
from teachercache.stages.student.stream.stream import Stream
from teachercache.stages.student.trial.trial import Trial, needed_sources
from teachercache.stages.teacher.asking import ask_again
from teachercache.stages.teacher.families import head_ear
from teachercache.stages.teacher.independence import check_independence
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache

FamilyJob = Callable[..., CacheJob]
CPU = torch.device("cpu")
SIGNALS: dict[str, dict[str, Any]] = {
    "logits": {"codec": "f32"},
    "head": {"point": "logits", "codec": "head"},
    "small": {"point": "logits", "codec": "head", "keep": "int8"},
    "last": {"point": "logits", "codec": "head", "reduce": "last"},
    "all": {"point": "logits", "codec": "topk", "k": 20},
    "top": {"point": "logits", "codec": "topk", "k": 4},
    "pps": {"point": "logits", "codec": "pps", "k": 4},
}


def built(job: CacheJob) -> dict[str, Any]:
    """Every signal of a cache that is built now."""
    build_cache(job)
    cache = open_cache(job.address, job.fingerprint)
    return dict(cache.read(np.arange(cache.rows), list(job.signals)).signals)


@pytest.mark.parametrize("name", ["llama", pytest.param("gpt2", marks=pytest.mark.slow)])  # whose head is tied
def test_what_enters_the_head_says_the_logits_of_every_token(family_job: FamilyJob, name: str) -> None:
    job = family_job(name, SIGNALS, images=False)
    found = built(job)
    said, lengths = found["logits"].values, found["logits"].lengths
    for kept, bound in (("head", 2e-2), ("small", 0.3)):
        assert isinstance(found[kept], HeadLogits)
        logits = found[kept].logits()
        assert isinstance(logits, Ragged) and logits.lengths.tolist() == lengths.tolist()
        np.testing.assert_allclose(logits.values, said, atol=bound)
    np.testing.assert_allclose(found["last"].logits(), said[np.arange(10), lengths - 1], atol=2e-2)
    cache = open_cache(job.address)
    assert cache.manifest.signals["head"].target_shape == (12, 20) and verify_cache(cache) == []
    assert cache.manifest.signals["head"].row_bytes() == 4 + 12 * 32 * 2  # and no byte of the vocabulary
    assert 0 < cache.manifest.signals["head"].error["max_abs"] < 2e-2
    answer = ask_again(job, 10, 0)
    assert answer.disagreements == [] and answer.equal == answer.compared == 10 * len(SIGNALS)
    check_independence(job)


def test_a_language_model_whose_logits_are_not_its_heads_is_refused(
    family_job: FamilyJob, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(head_ear, "_MOST", 40)  # two tokens of twenty classes are looked at
    job = family_job("llama", {"logits": {"codec": "head"}}, images=False)
    built(job)
    monkeypatch.setattr(head_ear.HeadEar, "_bias", lambda ear: torch.ones(20))
    with pytest.raises(StageError, match=r"are not W h \+ b of it"):
        build_cache(replace(job, root=tmp_path / "other"))


class Speaker(nn.Module):
    """Says the next token of each, as a language model does."""

    def __init__(self, inputs: dict[str, InputShape]) -> None:
        super().__init__()
        self.words = nn.Embedding(inputs["input_ids"].vocabulary or 0, 8)
        self.head = nn.Linear(8, 20)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": self.head(self.words(inputs["input_ids"]).cumsum(dim=1))}


def trained(job: CacheJob, signal: str, folder: Path, micro: int | None = None) -> Tensor:
    """The weights of a student after a few steps on one signal, as one vector."""
    cache = open_cache(job.root, job.fingerprint)
    text = {"text": "caption", "tokenizer": str(job.folder), "max_tokens": 12}
    content = {
        "name": "speaker",
        "use": f"{__name__}:Speaker",
        "inputs": {"input_ids": text},
        "objective": [{"loss": "kl", "signal": signal, "temperature": 2.0}],
        "optimizer": {"micro_batch": micro},
    }
    train = TrainSpec.model_validate({"steps": 4, "batch_size": 6, "window": 2})
    trials = (Trial(StudentSpec.model_validate(content), "distilled", 0),)
    stream = Stream(cache, Join(cache, job.source, job.policy), train, [signal], CPU, False, needed_sources(trials))
    results = train_fleet(trials, stream, StudentShape(classes=20, channels=3, size=16), folder, train, CPU)
    assert [result.status for result in results] == ["finished"], results[0].reason
    return torch.cat([p.detach().flatten() for p in load_student(results[0].folder).parameters()])


def test_a_student_learns_from_every_form_of_token_logits(family_job: FamilyJob, tmp_path: Path) -> None:
    job = family_job("llama", SIGNALS, images=False)
    build_cache(job)
    dense = trained(job, "logits", tmp_path / "dense")
    for signal in ("head", "all"):
        torch.testing.assert_close(trained(job, signal, tmp_path / signal), dense, atol=5e-3, rtol=0)
    for signal in ("top", "pps"):
        found = trained(job, signal, tmp_path / signal)
        assert found.isfinite().all() and not torch.equal(found, dense)
        parts = trained(job, signal, tmp_path / f"{signal}-in-parts", micro=2)
        torch.testing.assert_close(parts, found, atol=1e-5, rtol=0)


class Fixed(nn.Module):
    """Says three tokens of each image, and is told of no mask: as many in each row."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(3, 6), nn.Linear(6, 40)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(image.mean(dim=3).transpose(1, 2)[:, :3]))
        return logits


def fixed() -> nn.Module:
    return Fixed().eval()


def test_tokens_that_are_as_many_in_each_row_are_kept_one_by_one(family_job: FamilyJob) -> None:
    signals: dict[str, Any] = {
        "logits": {"codec": "f32"},
        "top": {"point": "logits", "codec": "topk", "k": 4},
        "drawn": {"point": "logits", "codec": "sampling", "draws": 8},
        "kept": {"point": "logits", "codec": "head"},
    }
    job = family_job("clip", signals, model=None, use=f"{__name__}:fixed", inputs={"image": "image"})
    found = built(job)
    assert isinstance(found["top"], TokenLogits) and found["top"].lengths.tolist() == [3] * 10
    exact = found["logits"].reshape(30, 40)
    np.testing.assert_array_equal(found["top"].targets.ids, np.argsort(-exact, axis=-1, kind="stable")[:, :4])
    np.testing.assert_array_equal(found["drawn"].targets.ids[:, 0], exact.argmax(axis=-1))
    np.testing.assert_allclose(found["kept"].logits(), found["logits"], atol=5e-3)
    assert open_cache(job.address).manifest.signals["top"].shape == (3, 40)
    assert ask_again(job, 10, 0).disagreements == []
