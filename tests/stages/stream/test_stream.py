"""The student's stream: rows in planned order, joined to the right sample, whatever makes the batches."""

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from teachercache.cache import Cache, CacheError, open_cache
from teachercache.cache.reading.order import ShuffledOrder
from teachercache.stages.errors import StageError
from teachercache.stages.student.ranks.division import WHOLE, Division
from teachercache.stages.student.spec import TrainSpec
from teachercache.stages.student.stream.join import Join
from teachercache.stages.student.stream.plan import StepPlan
from teachercache.stages.student.stream.stream import Stream
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache

MakeJob = Callable[..., CacheJob]


def train_spec(**changes: Any) -> TrainSpec:
    """Batches of 8 rows."""
    return TrainSpec.model_validate({"steps": 10, "batch_size": 8, "window": 2, **changes})


def open_join(job: CacheJob) -> tuple[Cache, Join]:
    """Build the job's cache and join it to its source."""
    build_cache(job)
    cache = open_cache(job.root, job.fingerprint)
    return cache, Join(cache, job.source, job.policy)


def make_stream(cache: Cache, join: Join, shuffled: bool = False, **changes: Any) -> Stream:
    """A stream on the CPU."""
    return Stream(cache, join, train_spec(**changes), ["logits", "top"], torch.device("cpu"), shuffled)


def test_replayed_views_equal_the_pixels_the_teacher_saw(make_job: MakeJob, tmp_path: Path) -> None:
    kept, kept_join = open_join(make_job(keep_pixels=True, root=tmp_path / "kept"))
    drawn, drawn_join = open_join(make_job(root=tmp_path / "drawn"))
    rows = np.random.default_rng(0).permutation(kept.rows)
    np.testing.assert_array_equal(kept_join.views(rows), drawn_join.views(rows))
    assert "pixels" in kept.signals and "pixels" not in drawn.signals


def test_every_batch_row_carries_its_own_samples_view_label_and_signal(make_job: MakeJob) -> None:
    cache, join = open_join(make_job())
    whole = cache.read(np.arange(cache.rows), ["logits"])
    by_view = {join.views(np.array([row])).tobytes(): row for row in range(cache.rows)}
    assert len(by_view) == cache.rows
    for batch in make_stream(cache, join).batches(0, 10):
        for i in range(8):
            row = by_view[batch.views[i].numpy().tobytes()]
            assert batch.ids[i] == whole.ids[row]
            assert int(batch.labels[i]) == whole.labels[row]
            np.testing.assert_array_equal(batch.signals["logits"][i], whole.signals["logits"][row])


def test_the_parts_of_several_processes_are_the_batch_of_one(make_job: MakeJob) -> None:
    cache, join = open_join(make_job())
    spec, device = train_spec(labelled={"count": 4, "per_batch": 3}), torch.device("cpu")
    alone, *streams = (
        Stream(cache, join, spec, ["logits"], device, True, division=division)
        for division in (WHOLE, *(Division(rank, 3) for rank in range(3)))
    )
    for batch, *parts in zip(*(stream.batches(0, 4) for stream in (alone, *streams)), strict=True):
        assert batch.whole is None and [len(part.rows) for part in parts] == [2, 3, 3]
        for part in parts:
            assert part.whole is not None and part.labelled == 1 and part.views is not None
            places = torch.from_numpy(part.whole.places)
            np.testing.assert_array_equal(part.rows, batch.rows[places])
            np.testing.assert_array_equal(part.whole.rows, batch.rows)
            for found, wanted in ((part.whole.labels, batch.labels), (part.labels, batch.labels[places])):
                torch.testing.assert_close(found, wanted)
            torch.testing.assert_close(part.views, batch.views[places])
            torch.testing.assert_close(part.signals["logits"], batch.signals["logits"][places])
            torch.testing.assert_close(part.shuffled["logits"], batch.shuffled["logits"][places])
            torch.testing.assert_close(part.partners, batch.partners[places])
        np.testing.assert_array_equal(np.sort(np.concatenate([part.rows for part in parts])), np.sort(batch.rows))


def test_an_epoch_of_steps_visits_every_row_once(make_job: MakeJob) -> None:
    cache, _ = open_join(make_job())
    plan = StepPlan(cache, train_spec(batch_size=6))
    for epoch in range(3):
        rows = np.concatenate([plan.step(step).rows for step in range(5 * epoch, 5 * epoch + 5)])
        np.testing.assert_array_equal(np.sort(rows), np.arange(30))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_resumed_anywhere_gives_the_same_batches(make_job: MakeJob, workers: int) -> None:
    cache, join = open_join(make_job())
    whole = list(make_stream(cache, join, shuffled=True).batches(0, 10))
    rest = list(make_stream(cache, join, shuffled=True, workers=workers).batches(6, 10))
    assert [batch.step for batch in rest] == [6, 7, 8, 9]
    for ours, theirs in zip(rest, whole[6:], strict=True):
        np.testing.assert_array_equal(ours.ids, theirs.ids)
        torch.testing.assert_close(ours.views, theirs.views, rtol=0, atol=0)
        torch.testing.assert_close(ours.signals["logits"], theirs.signals["logits"], rtol=0, atol=0)
        torch.testing.assert_close(ours.shuffled["logits"], theirs.shuffled["logits"], rtol=0, atol=0)
        torch.testing.assert_close(ours.signals["top"].values, theirs.signals["top"].values, rtol=0, atol=0)


def test_shuffled_signals_belong_to_another_sample_always_the_same_one(make_job: MakeJob) -> None:
    cache, _ = open_join(make_job())
    plan = StepPlan(cache, train_spec())
    rows = np.arange(cache.rows)
    partners = plan.partners(rows)
    assert np.all(partners // 3 != rows // 3) and np.all(partners % 3 == rows % 3)
    np.testing.assert_array_equal(np.sort(partners), rows)
    np.testing.assert_array_equal(StepPlan(cache, train_spec()).partners(rows[::-1]), partners[::-1])


def test_only_chosen_samples_keep_their_label_and_every_batch_holds_them(make_job: MakeJob) -> None:
    cache, join = open_join(make_job())
    stream = make_stream(cache, join, labelled={"count": 4, "per_batch": 3})
    labelled: set[str] = set()
    for batch in stream.batches(0, 40):
        assert batch.labelled == 3 and len(batch.labels) == 8
        assert bool((batch.labels[:3] >= 0).all()) and bool((batch.labels[3:] == -1).all())
        labelled |= set(batch.ids[:3].tolist())
    assert len(labelled) == 4


def test_few_labels_are_refused_when_there_are_fewer(make_job: MakeJob) -> None:
    cache, join = open_join(make_job())
    with pytest.raises(StageError, match="only 10 samples have a label"):
        make_stream(cache, join, labelled={"count": 11, "per_batch": 3})
    with pytest.raises(StageError, match="per_batch"):
        make_stream(cache, join, labelled={"count": 4, "per_batch": 9})


def test_a_sample_without_a_label_is_named_where_the_objective_needs_one(make_job: MakeJob, images: Path) -> None:
    with tarfile.open(images / "train-1.tar") as tar, tarfile.open(images / "new", "w") as new:
        member = tar.getmember("1-0.png")
        new.addfile(member, tar.extractfile(member))
    shutil.move(images / "new", images / "train-1.tar")
    cache, join = open_join(make_job())
    with pytest.raises(StageError, match="sample '1-0' has no label"):
        make_stream(cache, join).require_labels()
    make_stream(cache, join, labelled={"count": 4, "per_batch": 2}).require_labels()


def test_a_source_that_changed_after_the_build_is_refused(make_job: MakeJob, images: Path) -> None:
    job = make_job()
    build_cache(job)
    first = images / "train-0.tar"
    data = first.read_bytes()
    position = data.index(b"IDAT") + 40
    first.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
    cache = open_cache(job.root)
    with pytest.raises(StageError, match="train-0: the source's bytes have changed"):
        Join(cache, job.source, job.policy).views(np.array([0]))
    first.write_bytes((images / "train-2.tar").read_bytes())
    with pytest.raises(StageError, match="shard train-0, sample 0: the source does not hold"):
        Join(cache, job.source, job.policy).views(np.array([0]))


def test_a_cache_with_missing_shards_is_refused_naming_them(make_job: MakeJob) -> None:
    job = make_job()
    build_cache(job)
    (job.root / "receipts" / "train-1.json").unlink()
    cache = open_cache(job.root)
    with pytest.raises(CacheError, match=r"1 of 3 shards are missing \(train-1\)"):
        make_stream(cache, Join(cache, job.source, job.policy))


def test_an_error_while_joining_reaches_the_trainer(make_job: MakeJob, images: Path) -> None:
    job = make_job()
    cache, join = open_join(job)
    (images / "train-2.tar").write_bytes((images / "train-0.tar").read_bytes())
    with pytest.raises(StageError, match="train-2"):
        list(make_stream(cache, join).batches(0, 20))


def test_every_window_is_asked_for_before_its_rows_are_read(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, join = open_join(make_job(keep_pixels=True))
    for start, changes in ((0, {}), (13, {}), (5, {"labelled": {"count": 4, "per_batch": 3}})):
        stream = make_stream(cache, join, **changes)
        asked = note_prefetches(cache, monkeypatch)
        pools = []
        for batch in stream.batches(start, start + 20):  # several epochs of 30 rows
            rows = stream.plan.step(batch.step).rows
            pools.append(rows if not changes else rows[batch.labelled :])
        assert all(set(signals) == {"logits", "top", "pixels"} for signals, _ in asked)
        known = np.concatenate([rows for _, rows in asked])
        assert np.all(np.isin(np.concatenate(pools), known))
        assert len(known) < 2 * 30 + sum(map(len, pools))


def note_prefetches(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, np.ndarray]]:
    """What is prefetched from now on: signals and rows."""
    asked: list[tuple[Any, np.ndarray]] = []

    def note(signals: Any, starts: np.ndarray, stops: np.ndarray) -> None:
        asked.append((signals, np.concatenate([np.arange(a, b) for a, b in zip(starts, stops, strict=True)])))

    monkeypatch.setattr(cache, "prefetch", note)
    return asked


def test_a_plan_asks_for_each_window_of_each_epoch_once(make_job: MakeJob) -> None:
    cache, _ = open_join(make_job())
    plan = StepPlan(cache, train_spec(batch_size=7, window=1))
    steps = 30 * 7 // 7  # seven epochs
    asked = [runs[0].tolist() for step in range(steps) for runs in plan.ahead(step, step == 0)]
    order = ShuffledOrder.of(cache.row_counts, cache.manifest.block, 1, 0)
    assert order.windows == 5  # blocks of 8 rows: 2, 1 and 2 of the shards
    windows = [(epoch, window) for epoch in range(8) for window in range(5)]
    assert asked == [order.window_extents(*window)[0].tolist() for window in windows[: 7 * 5 + 1]]
