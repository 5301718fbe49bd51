"""Samples that cannot be decoded: an error, or left out with a record, in phase one and in phase two alike."""

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from teachercache.cache import Cache, DamagedCacheError, open_cache
from teachercache.cache.format.receipt import publish_receipt, read_receipt, receipt_name
from teachercache.cache.spec import SignalSpec
from teachercache.cache.storage.address import open_store
from teachercache.data import DataError, SourceSpec, open_source
from teachercache.stages.errors import StageError
from teachercache.stages.left_out import left_out_reasons, left_out_samples
from teachercache.stages.student.stream.join import Join
from teachercache.stages.teacher.asking import ask_again
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache

BROKEN = ("0-1", "0-4", "2-0")


@pytest.fixture
def broken(images: Path) -> Path:
    """The shards of `images`, in which three images are no images."""
    for tar in images.glob("*.tar"):
        with tarfile.open(tar) as old:
            members = [(member.name, old.extractfile(member).read()) for member in old]
        with tarfile.open(tar, "w") as new:
            for name, data in members:
                data = data[:40] if name.removesuffix(".png") in BROKEN else data
                member = tarfile.TarInfo(name)
                member.size = len(data)
                new.addfile(member, io.BytesIO(data))
    return images


def job_of(make_job: Callable[..., CacheJob], images: Path, **source: object) -> CacheJob:
    spec = SourceSpec.model_validate({"path": str(images / "*.tar"), **source})
    return replace(make_job(signals={"logits": {"codec": "f32"}}), source=open_source(spec))


def built(job: CacheJob) -> Cache:
    build_cache(job)
    return open_cache(job.root, job.fingerprint)


def test_an_image_that_cannot_be_decoded_is_an_error_that_names_it(
    make_job: Callable[..., CacheJob], broken: Path
) -> None:
    said = "sample '0-1' of shard 'train-0': its 40 bytes are none of PNG.*source.on_error: skip.*source.skip_limit"
    with pytest.raises(DataError, match=said):
        build_cache(job_of(make_job, broken))


@pytest.mark.parametrize("workers", [0, 2])
def test_skipped_samples_are_recorded_and_nobody_sees_them(
    make_job: Callable[..., CacheJob], broken: Path, workers: int
) -> None:
    job = job_of(make_job, broken, on_error="skip", skip_limit=0.5)
    job = replace(job, teacher=job.teacher.model_copy(update={"workers": workers}))
    summary = build_cache(job)
    assert summary.rows == 7 * 3 and "3 samples (0-1, 0-4, 2-0)" in summary.notes[-1]
    cache = open_cache(job.root, job.fingerprint)
    assert [left_out_samples(cache, shard) for shard in cache.shards] == [("0-1", "0-4"), (), ("2-0",)]
    names = [f"{shard}-{i}" for shard, count in enumerate((5, 1, 4)) for i in range(count)]
    join = Join(cache, open_source(SourceSpec(path=str(broken / "*.tar"))), job.policy)  # whatever its settings say
    rows = np.arange(cache.rows)
    assert join.ids(rows).tolist() == [name for name in names if name not in BROKEN for _ in range(3)]
    assert len(join.views(rows)) == 21
    reason = "sample '0-1' of shard 'train-0': its 40 bytes are none of PNG"
    assert reason in summary.notes[-1] and left_out_reasons(cache, "train-0")["0-1"].startswith(reason)
    answer = ask_again(job, 21, 0)
    assert answer.equal == answer.compared == 21


def test_signals_that_are_added_later_leave_out_the_same(make_job: Callable[..., CacheJob], broken: Path) -> None:
    from teachercache.stages.teacher.extension import plan_extensions

    job = job_of(make_job, broken, on_error="skip", skip_limit=3)
    built(job)
    more = replace(job, signals={**job.signals, "embedding": SignalSpec(codec="f32")})
    for plan in plan_extensions(more):
        build_cache(plan.job)
    cache = open_cache(job.root)
    assert all(left_out_reasons(cache, "train-0").values())  # those of the base, where the samples were looked at
    assert set(cache.read(np.arange(21), ["logits", "embedding"]).signals) == {"logits", "embedding"}


def test_inspect_shows_how_many_samples_were_left_out_and_why(
    make_job: Callable[..., CacheJob], broken: Path, run: Callable[..., str]
) -> None:
    job = job_of(make_job, broken, on_error="skip", skip_limit=3)
    built(job)
    found = json.loads(run("cache", "inspect", job.root, "--json"))["left_out"]
    assert found["samples"] == 3 and [one["sample"] for one in found["first"]] == list(BROKEN)
    assert all("its 40 bytes are none of PNG" in one["reason"] for one in found["first"])
    said = run("cache", "inspect", job.root)
    assert "could not be decoded: 3 samples" in said and "sample '2-0' of shard 'train-2': its 40 bytes" in said


def test_a_receipt_whose_reasons_are_not_one_for_each_sample_is_damage(
    make_job: Callable[..., CacheJob], broken: Path
) -> None:
    job = job_of(make_job, broken, on_error="skip", skip_limit=3)
    store, receipt = open_store(job.root), built(job).receipts["train-0"]
    store.remove([receipt_name("train-0")])
    publish_receipt(store, replace(receipt, source={**receipt.source, "left_out_because": ["why"]}))
    with pytest.raises(DamagedCacheError, match="no list of reasons, one for each"):
        read_receipt(store, "train-0")


def test_more_than_the_limit_is_an_error_before_the_teacher_is_loaded(
    make_job: Callable[..., CacheJob], broken: Path
) -> None:
    for limit in (0.2, 2, 0):
        with pytest.raises(DataError, match=r"3 of 10 samples cannot be decoded, and .* set source.skip_limit: 3"):
            build_cache(job_of(make_job, broken, on_error="skip", skip_limit=limit))
    assert not (Path(str(job_of(make_job, broken).root)) / "teachercache.json").exists()


def test_a_sample_that_went_missing_afterwards_is_no_skipped_one(
    make_job: Callable[..., CacheJob], images: Path
) -> None:
    job = job_of(make_job, images, on_error="skip")
    cache = built(job)
    tar = images / "train-0.tar"
    with tarfile.open(tar) as old:
        members = [(member, old.extractfile(member).read()) for member in old if not member.name.startswith("0-1")]
    with tarfile.open(tar, "w") as new:
        for member, data in members:
            new.addfile(member, io.BytesIO(data))
    with pytest.raises(StageError, match="does not hold the samples"):
        Join(cache, open_source(SourceSpec(path=str(images / "*.tar"))), job.policy).views(np.arange(3))
