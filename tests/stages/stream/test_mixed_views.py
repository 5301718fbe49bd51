"""Views of two samples in training: the pixels that the teacher saw, and labels that are right in the mean."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from teachercache.cache import Cache, open_cache
from teachercache.stages.student.spec import TrainSpec
from teachercache.stages.student.stream.join import Join
from teachercache.stages.student.stream.mixed_rows import mixed_rows
from teachercache.stages.student.stream.stream import Stream
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache

MIXED = {
    "count": 4,
    "size": 16,
    "channels": 3,
    "operations": [{"op": "crop"}, {"op": "mixup", "p": 0.5}, {"op": "cutmix", "p": 1.0}],
}
SIGNALS: dict[str, dict[str, Any]] = {"logits": {"codec": "f32"}}


def built(make_job: Callable[..., CacheJob], **changes: Any) -> tuple[Cache, Join]:
    job = make_job(views=MIXED, signals=SIGNALS, **changes)
    build_cache(job)
    cache = open_cache(job.root, job.fingerprint)
    return cache, Join(cache, job.source, job.policy)


def stream_of(cache: Cache, join: Join, **changes: Any) -> Stream:
    train = TrainSpec.model_validate({"steps": 10, "batch_size": 8, "window": 2, **changes})
    return Stream(cache, join, train, ["logits"], torch.device("cpu"), False)


def test_mixed_views_are_replayed_to_the_byte(make_job: Callable[..., CacheJob], tmp_path: Path) -> None:
    kept, kept_join = built(make_job, keep_pixels=True, root=tmp_path / "kept", batch_size=8)
    drawn, drawn_join = built(make_job, root=tmp_path / "drawn", batch_size=40)
    rows = np.random.default_rng(0).permutation(kept.rows)
    np.testing.assert_array_equal(kept_join.views(rows), drawn_join.views(rows))
    partner = drawn_join.policy.partners(drawn.reader(drawn.shards[0]).parameters)[0]
    assert (partner >= 0).sum() == 15 and (drawn.reader(drawn.shards[1]).parameters[:, 4] == -1).all()  # one sample


def test_a_mixed_row_has_either_label_as_often_as_its_share_says(make_job: Callable[..., CacheJob]) -> None:
    cache, join = built(make_job)
    mixed = mixed_rows(cache, join.policy)
    assert mixed is not None
    stream = stream_of(cache, join, batch_size=40, steps=1500)
    soft = np.zeros((cache.rows, 5))
    for step in range(1500):
        labels = stream.plan.labels[stream.plan.label_samples(np.arange(cache.rows), step)]
        soft[np.arange(cache.rows), labels] += 1 / 1500
    labels, expected = stream.plan.labels, np.zeros((cache.rows, 5))
    np.add.at(expected, (np.arange(cache.rows), labels[mixed.own]), mixed.share)
    np.add.at(expected, (np.arange(cache.rows), labels[mixed.partner]), 1 - mixed.share)
    assert np.abs(soft - expected).max() < 0.06
    for batch in stream.batches(3, 5):  # what a student sees is what the plan says
        assert batch.labels.tolist() == labels[stream.plan.label_samples(batch.rows, batch.step)].tolist()


def test_labelled_rows_show_no_sample_whose_label_is_hidden(make_job: Callable[..., CacheJob]) -> None:
    cache, join = built(make_job)
    stream = stream_of(cache, join, labelled={"count": 4, "per_batch": 4})
    mixed, seen = mixed_rows(cache, join.policy), set(stream.plan.labelled_samples().tolist())
    assert mixed is not None and len(seen) == 4
    for step in range(60):
        rows = stream.plan.step(step).rows[:4]
        assert set(mixed.own[rows]) <= seen and set(mixed.partner[rows]) <= seen


def test_views_of_one_sample_have_nothing_to_draw(make_job: Callable[..., CacheJob]) -> None:
    job = make_job(signals=SIGNALS)
    build_cache(job)
    cache = open_cache(job.root, job.fingerprint)
    assert mixed_rows(cache, job.policy) is None


@pytest.mark.parametrize("workers", [0, 2])
def test_mixed_labels_are_the_same_whoever_makes_the_batch(make_job: Callable[..., CacheJob], workers: int) -> None:
    cache, join = built(make_job)
    whole = [batch.labels.tolist() for batch in stream_of(cache, join).batches(0, 6)]
    again = [batch.labels.tolist() for batch in stream_of(cache, join, workers=workers).batches(2, 6)]
    assert again == whole[2:]
