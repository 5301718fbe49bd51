"""`batch_size: auto` finds the smallest batch that is as fast as any, and that the memory holds."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from teachercache.cache import open_cache
from teachercache.pipeline.keeping.inspection import inspect_cache
from teachercache.stages.teacher.asking import ask_again
from teachercache.stages.teacher.families.text import TextEncoder
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache
from teachercache.stages.teacher.running.batch_size import MOST, search

MakeJob = Callable[..., CacheJob]


class Device:
    """One whose passes take `fixed` seconds and one for each `at_once` rows begun, and whose memory holds `most`."""

    def __init__(self, at_once: int, most: int, fixed: float = 0.0, room: int | None = None) -> None:
        self.at_once, self.most, self.fixed, self.room = at_once, most, fixed, room
        self.peak, self.tried = 0, list[int]()

    def seconds(self, rows: int) -> float:
        self.tried.append(rows)
        if rows > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.peak = max(self.peak, 1000 * rows)
        return self.fixed + -(-rows // self.at_once)

    def search(self) -> int:
        return search(self.seconds, lambda: self.room, lambda: self.peak)


def test_the_smallest_size_that_fills_the_device_is_taken() -> None:
    assert Device(at_once=64, most=10**9).search() == 64
    assert Device(at_once=1, most=10**9).search() == 1  # a busy CPU: rows cost the same in any company
    assert Device(at_once=10**9, most=10**9).search() == MOST


def test_the_last_size_before_the_memory_ends_is_taken() -> None:
    device = Device(at_once=10**9, most=100)
    assert device.search() == 64 and device.tried[-1] == 128


def test_a_size_that_would_not_fit_is_not_tried() -> None:
    device = Device(at_once=10**9, most=100, room=100_000)
    assert device.search() == 64 == device.tried[-1]


def test_a_teacher_of_which_one_row_does_not_fit_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        Device(at_once=1, most=0).search()


def test_a_cache_is_built_with_the_size_that_was_found_and_says_so(make_job: MakeJob, tmp_path: Path) -> None:
    plain = make_job(root=tmp_path / "plain")
    build_cache(plain)
    job = make_job(batch_size="auto")
    summary = build_cache(job)
    size = summary.pace.batch_size
    assert size & (size - 1) == 0 and f"batch size: {size} rows, found on cpu" in summary.pace.remarks
    ours, theirs = open_cache(job.root, job.fingerprint), open_cache(plain.root, job.fingerprint)
    rows = np.arange(30)
    for name, values in ours.read(rows, ["logits", "attention.-1"]).signals.items():
        np.testing.assert_allclose(values, theirs.read(rows, [name]).signals[name], atol=1e-5)
    assert inspect_cache(ours)["cost"]["batch_size"] == [size]
    assert ask_again(job, 12, 0).disagreements == []


def test_the_longest_text_is_what_is_tried(family_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    call, tried = TextEncoder.__call__, []

    def noted(self: TextEncoder, inputs: dict[str, torch.Tensor]) -> object:
        tried.append(inputs["attention_mask"])
        return call(self, inputs)

    monkeypatch.setattr(TextEncoder, "__call__", noted)
    build_cache(family_job("bert", {"cls": {"point": "embedding"}}, images=False, batch_size="auto"))
    assert tried[0].shape[0] == 1 and bool(tried[0].all())  # no padding: it is the longest itself
