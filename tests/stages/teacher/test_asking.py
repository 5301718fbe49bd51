"""verify --teacher: every codec's rows are the teacher's, and rows that are another's are found and named."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from teachercache.cache import StaleCacheError, open_cache
from teachercache.cache.keeping.repair import retire_shard
from teachercache.cache.keeping.verify import verify_cache
from teachercache.stages.teacher.asking import ask_again
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache

MakeJob = Callable[..., CacheJob]
SIGNALS: dict[str, dict[str, Any]] = {
    "logits": {"codec": "f16"},
    "top": {"point": "logits", "codec": "topk", "k": 3},
    "sampled": {"point": "logits", "codec": "pps", "k": 3},
    "drawn": {"point": "logits", "codec": "sampling", "draws": 9},
    "head": {"point": "logits", "codec": "head"},
    "embedding": {"codec": "int8"},
    "hidden.1": {"codec": "u8affine"},
    "attention.0": {"codec": "u8sqrt"},
    "attention.1": {"codec": "factored"},
}


def with_rows(job: CacheJob, shard: str, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
    """Write a finished shard anew with other encoded rows: whole by every hash, and wrong."""
    cache = open_cache(job.root)
    rows, index = np.arange(len(cache.reader(shard))), cache.reader(shard).index
    parts = {name: cache.reader(shard).read(name, rows) for name in cache.signals}
    retire_shard(cache.members[0], shard)
    writer = open_cache(job.root).writer(shard)
    writer.append(change(parts))
    writer.seal(index)
    assert verify_cache(open_cache(job.root)) == []


def test_the_teacher_says_the_same_bytes_again(make_job: MakeJob) -> None:
    job = make_job(signals=SIGNALS, keep_pixels=True)
    build_cache(job)
    answer = ask_again(job, 12, seed=0)
    assert answer.disagreements == [] and answer.rows == 12 and answer.batches >= 3
    assert answer.equal == answer.compared == 12 * 10
    everything = ask_again(job, 1000, seed=0)
    assert everything.rows == 30 and everything.disagreements == []


def test_other_batches_give_rows_as_near_as_their_codec(make_job: MakeJob) -> None:
    build_cache(make_job(signals=SIGNALS))
    answer = ask_again(make_job(signals=SIGNALS, batch_size=30), 30, seed=0)
    assert answer.rows == 30 and answer.disagreements == []


@pytest.mark.parametrize("signal", [*SIGNALS, "pixels"])
def test_a_shard_whose_rows_changed_places_is_found(make_job: MakeJob, signal: str) -> None:
    job = make_job(signals=SIGNALS, keep_pixels=True)
    build_cache(job)
    swapped = lambda parts: {  # noqa: E731
        name: {part: np.roll(x, 4, axis=0) if name == signal else x for part, x in values.items()}
        for name, values in parts.items()
    }
    with_rows(job, "train-0", swapped)
    answer = ask_again(job, 30, seed=0)
    assert {wrong.signal for wrong in answer.disagreements} == {signal}
    assert {wrong.shard for wrong in answer.disagreements} == {"train-0"} and len(answer.disagreements) > 4
    assert "shard train-0: the teacher says something else now" in str(answer.disagreements[0])


def test_two_drawn_rows_that_changed_places_are_both_found(make_job: MakeJob) -> None:
    job = make_job(signals={"sampled": SIGNALS["sampled"], "drawn": SIGNALS["drawn"]})
    build_cache(job)
    order = np.array([1, 0, *range(2, 15)])
    with_rows(job, "train-0", lambda parts: {n: {p: x[order] for p, x in it.items()} for n, it in parts.items()})
    wrong = ask_again(job, 30, seed=0).disagreements
    assert sorted((it.signal, it.sample, it.view) for it in wrong) == [
        (signal, "0-0", view) for signal in ("drawn", "sampled") for view in (0, 1)
    ]


def test_another_teacher_is_refused_before_it_is_asked(make_job: MakeJob, tiny_vit: Path, tmp_path: Path) -> None:
    job = make_job(signals={"logits": {}})
    build_cache(job)
    with pytest.raises(StaleCacheError, match="teacher.dtype"):
        ask_again(replace(job, teacher=job.teacher.model_copy(update={"dtype": "bfloat16"})), 4, seed=0)
