"""Where the memory runs out, passes become smaller, and the cache holds the same rows in the same order."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from teachercache.cache import Cache, open_cache
from teachercache.stages.errors import StageError, StageFailed
from teachercache.stages.teacher.asking import ask_again
from teachercache.stages.teacher.families.hearing import Hearing
from teachercache.stages.teacher.families.image_classifier import ImageClassifier
from teachercache.stages.teacher.families.text import TextEncoder
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache
from teachercache.stages.teacher.running import run
from teachercache.stages.teacher.running.memory import ran_out

MakeJob = Callable[..., CacheJob]


def narrow(monkeypatch: pytest.MonkeyPatch, adapter: Any, most: int) -> list[int]:
    """Let the memory of a family's teacher end at `most` rows; the sizes of all passes."""
    call, passes = adapter.__call__, []

    def limited(self: Any, inputs: Any) -> Any:
        rows = len(next(iter(inputs.values())))
        passes.append(rows)
        found = call(self, inputs)
        if rows > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return found

    monkeypatch.setattr(adapter, "__call__", limited)
    return passes


def assert_same(ours: Cache, theirs: Cache, signals: list[str]) -> None:
    rows = np.arange(theirs.rows)
    a, b = ours.read(rows, signals), theirs.read(rows, signals)
    np.testing.assert_array_equal(a.ids, b.ids)
    np.testing.assert_array_equal(a.views, b.views)
    for name in signals:
        np.testing.assert_allclose(a.signals[name], b.signals[name], atol=1e-5, err_msg=name)


@pytest.mark.parametrize("most", [7, 2])  # less than the three views of one sample, too
def test_a_teacher_that_runs_out_of_memory_builds_the_same_cache(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, most: int
) -> None:
    plain = make_job(batch_size=64, root=tmp_path / "plain", keep_pixels=True)
    build_cache(plain)
    passes = narrow(monkeypatch, ImageClassifier, most)
    job = make_job(batch_size=64, keep_pixels=True)
    summary = build_cache(job)
    assert summary.rows == 30 and summary.pace.batch_size <= most + 1
    assert any("halved from 64" in remark for remark in summary.pace.remarks)
    assert sum(rows > most for rows in passes) < 6  # once found, the size is kept
    cache = open_cache(job.root, job.fingerprint)
    assert_same(cache, open_cache(plain.root), ["logits", "attention.-1", "pixels"])
    assert {receipt.cost["batch_size"] for receipt in cache.receipts.values()} == {summary.pace.batch_size}
    assert ask_again(job, 12, 0).disagreements == []


def test_texts_of_different_lengths_survive_it_too(
    family_job: MakeJob, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    signals = {"hidden.-1": {"reduce": "mean", "codec": "f32"}, "cls": {"point": "embedding", "codec": "f32"}}
    caches = []
    for name, most in (("plain", 100), ("narrow", 3)):
        with monkeypatch.context() as patch:
            narrow(patch, TextEncoder, most)
            job = replace(family_job("bert", signals, images=False, batch_size=8), root=tmp_path / name)
            build_cache(job)
        caches.append(open_cache(job.root))
    assert_same(caches[1], caches[0], list(signals))


def test_encoding_that_runs_out_of_memory_is_halved_as_well(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain = make_job(batch_size=64, root=tmp_path / "plain")
    build_cache(plain)
    encode = run.encode_batch

    def limited(prepared: Any, *rest: Any) -> Any:
        if prepared.rows > 6:
            raise torch.OutOfMemoryError
        return encode(prepared, *rest)

    monkeypatch.setattr(run, "encode_batch", limited)
    job = make_job(batch_size=64)
    build_cache(job)
    assert_same(open_cache(job.root), open_cache(plain.root), ["logits"])


def test_what_a_failed_pass_left_behind_is_forgotten(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    reduce = Hearing._reduce

    def limited(self: Any, name: str, values: Any) -> Any:
        if name == "hidden.1" and len(values) > 6:
            raise torch.OutOfMemoryError
        return reduce(self, name, values)

    monkeypatch.setattr(Hearing, "_reduce", limited)
    job = make_job(batch_size=64, signals={"hidden.1": {}, "logits": {"codec": "head"}})
    assert build_cache(job).rows == 30


def test_one_row_that_does_not_fit_is_an_error_that_says_so(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(monkeypatch, ImageClassifier, 0)
    with pytest.raises(StageFailed, match=r"one row of shard train-0 does not fit into the memory of cpu"):
        build_cache(make_job())


def test_other_errors_are_not_taken_for_it() -> None:
    wrapped = StageError("teacher.use: failed")
    wrapped.__cause__ = torch.OutOfMemoryError("x")
    assert ran_out(wrapped) and ran_out(MemoryError())
    assert ran_out(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1"))
    assert not ran_out(RuntimeError("shapes cannot be multiplied")) and not ran_out(StageError("no"))
