"""Extending: only what is missing goes through the teacher, and the joined cache is the one that is built at once."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from teachercache.cache import Cache, CacheError, SmallerCacheError, StaleCacheError, open_cache
from teachercache.cache.grid.extension import extension_folder
from teachercache.data import DataError, SourceSpec, ViewPolicy, ViewsSpec, open_source
from teachercache.stages.asked_cache import AskedCache
from teachercache.stages.errors import Interrupted, StageError
from teachercache.stages.student.spec import TrainSpec
from teachercache.stages.student.stream.join import Join
from teachercache.stages.student.stream.stream import Stream
from teachercache.stages.teacher.extension import member_jobs, plan_extensions
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache

MakeJob = Callable[..., CacheJob]
VIEWS = {"count": 3, "size": 16, "operations": [{"op": "crop"}, {"op": "flip"}, {"op": "jitter"}]}
ALL: dict[str, dict[str, Any]] = {
    "logits": {"codec": "f32"},
    "top": {"point": "logits", "codec": "topk", "k": 3},
    "embedding": {"codec": "int8"},
    "hidden.1": {"codec": "f16"},
}
FEW = {name: ALL[name] for name in ("logits", "embedding")}


@pytest.fixture
def row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """The teacher hears one row at a time: how many it hears at once changes the last bits of what it says. So does
    hearing an attention map, which is why none is heard here."""
    from teachercache.stages.teacher.families.image_classifier import ImageClassifier

    call = ImageClassifier.__call__

    def one_by_one(self: ImageClassifier, inputs: Any) -> Any:
        found = [call(self, {"pixel_values": row[None]}) for row in inputs["pixel_values"]]
        return {name: torch.cat([heard[name] for heard in found]) for name in found[0]}

    monkeypatch.setattr(ImageClassifier, "__call__", one_by_one)


def views(count: int) -> dict[str, Any]:
    return {**VIEWS, "count": count}


def extend(job: CacheJob) -> list[CacheJob]:
    """Compute what is missing, as the command does."""
    plans = plan_extensions(job)
    for plan in plans:
        build_cache(plan.job)
    for member in member_jobs(job):
        build_cache(member)
    return [plan.job for plan in plans]


def assert_equal(joined: Cache, whole: Cache) -> None:
    """The same rows in the same order: every encoded part, id, view, label and parameter."""
    rows = np.arange(whole.rows)
    assert (joined.rows, joined.shards, joined.signals) == (whole.rows, whole.shards, whole.signals)
    assert (joined.manifest.views, joined.manifest.classes) == (whole.manifest.views, whole.manifest.classes)
    for signal in whole.signals:
        for part, values in whole.encoded(signal, rows).items():
            np.testing.assert_array_equal(joined.encoded(signal, rows)[part], values, err_msg=f"{signal}/{part}")
    one, other = joined.read(rows, ["logits"]), whole.read(rows, ["logits"])
    for field in ("ids", "views", "labels"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
    for shard in whole.shards:
        np.testing.assert_array_equal(joined.reader(shard).parameters, whole.reader(shard).parameters)


@pytest.mark.usefixtures("row_by_row")
def test_new_signals_views_and_shards_join_to_the_cache_that_is_built_at_once(
    make_job: MakeJob, images: Path, tmp_path: Path
) -> None:
    aside = tmp_path / "aside"
    aside.mkdir()
    shutil.move(images / "train-2.tar", aside)
    build_cache(make_job(FEW, views(2)))
    before = {path: path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    shutil.move(aside / "train-2.tar", images)
    job = make_job(ALL, views(3), keep_pixels=True)
    extend(job)
    assert all(path.read_bytes() == data for path, data in before.items())
    whole = make_job(ALL, views(3), keep_pixels=True, root=tmp_path / "whole")
    build_cache(whole)
    joined = open_cache(job.root, job.asked)
    assert len(joined.members) == 4
    order = ("logits", "embedding", "top", "hidden.1", "pixels")
    assert joined.signals == order
    at_once = open_cache(whole.root)
    at_once.manifest = replace(at_once.manifest, signals={name: at_once.manifest.signals[name] for name in order})
    assert_equal(joined, at_once)
    assert plan_extensions(job) == [] and [build_cache(it).shards for it in member_jobs(job)] == [0, 0, 0, 0]


def test_each_row_goes_through_the_teacher_once(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    from teachercache.stages.teacher.families.image_classifier import ImageClassifier

    rows = []
    call = ImageClassifier.__call__

    def counted(self: ImageClassifier, inputs: Any) -> Any:
        rows.append(len(inputs["pixel_values"]))
        return call(self, inputs)

    monkeypatch.setattr(ImageClassifier, "__call__", counted)
    build_cache(make_job(FEW, views(2), batch_size=100))
    assert sum(rows) == 20 + 10  # the first batch, of the first shard, is heard twice: for its shapes
    rows.clear()
    extend(make_job(FEW, views(3), batch_size=100))
    assert sum(rows) == 10 + 5  # the new view alone


@pytest.mark.usefixtures("row_by_row")
def test_students_get_equal_batches_from_a_joined_cache(make_job: MakeJob, tmp_path: Path) -> None:
    build_cache(make_job(FEW, views(2)))
    job, whole = make_job(ALL, views(3)), make_job(ALL, views(3), root=tmp_path / "whole")
    extend(job)
    build_cache(whole)
    settings = {"steps": 9, "batch_size": 8, "seeds": [0], "window": 2, "device": "cpu"}
    found = []
    for it in (job, whole):
        asked = AskedCache(it.source, it.policy, False, it.signals, it.block)
        cache = open_cache(it.root, asked)
        stream = Stream(
            cache,
            Join(cache, it.source, it.policy),
            TrainSpec.model_validate(settings),
            ["logits", "embedding", "hidden.1"],
            torch.device("cpu"),
            shuffled=True,
        )
        found.append(list(stream.batches(0, 9)))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one.ids, other.ids)
        assert torch.equal(one.views, other.views) and torch.equal(one.labels, other.labels)
        for name, target in other.signals.items():
            assert torch.equal(one.signals[name], target), name  # type: ignore[arg-type]
            assert torch.equal(one.shuffled[name], other.shuffled[name]), name  # type: ignore[arg-type]


def test_a_second_teacher_adds_signals_of_its_own(make_job: MakeJob, tmp_path: Path, tiny_vit: Path) -> None:
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(1)
    folder = tmp_path / "second"
    ViTForImageClassification(ViTConfig.from_pretrained(tiny_vit)).save_pretrained(folder)
    shutil.copy(tiny_vit / "preprocessor_config.json", folder)
    first = make_job(FEW, views(2))
    build_cache(first)
    second = make_job({"second": {"point": "logits", "codec": "f32"}}, views(2), model=str(folder))
    with pytest.raises(SmallerCacheError, match="second: views 0 to 1 of 3 shards"):
        member_jobs(second)
    extend(second)
    joined, rows = open_cache(first.root, first.asked), np.arange(20)
    alone = make_job({"logits": {"codec": "f32"}}, views(2), model=str(folder), root=tmp_path / "alone")
    build_cache(alone)
    expected = open_cache(alone.root).encoded("logits", rows)["values"]
    np.testing.assert_array_equal(joined.encoded("second", rows)["values"], expected)
    assert not np.allclose(joined.encoded("logits", rows)["values"], expected)
    # each configuration finishes what is its own
    assert [job.extension == "" for job in member_jobs(first)] == [True]
    assert [job.extension == "" for job in member_jobs(second)] == [False]
    with pytest.raises(StaleCacheError, match=r"teacher\.weights"):
        plan_extensions(make_job(FEW, views(2), model=str(folder)))


def test_an_extension_that_was_interrupted_continues(make_job: MakeJob) -> None:
    build_cache(make_job(FEW, views(2)))
    job = make_job(ALL, views(2))
    (plan,) = plan_extensions(job)
    stops = iter([False, False, False, True])
    with pytest.raises(Interrupted):
        build_cache(
            replace(plan.job, teacher=plan.job.teacher.model_copy(update={"batch_size": 2})), stop=lambda: next(stops)
        )
    with pytest.raises(CacheError, match="shards are missing"):
        open_cache(job.root, job.asked).require_complete()
    assert plan_extensions(job) == []  # it has begun, and is no longer missing
    assert [build_cache(it).shards > 0 for it in member_jobs(job)] == [False, True]
    open_cache(job.root, job.asked).require_complete(job.signals)


def test_an_extension_whose_marker_was_never_published_is_found_again(make_job: MakeJob) -> None:
    build_cache(make_job(FEW, views(2)))
    job = make_job(ALL, views(2))
    (plan,) = plan_extensions(job)
    build_cache(plan.job)
    os.unlink(Path(job.root) / f"{extension_folder(plan.job.extension)}.json")
    (again,) = plan_extensions(job)
    assert again.job.extension == plan.job.extension
    assert build_cache(again.job).shards == 0
    open_cache(job.root, job.asked).require_complete(job.signals)


def test_more_of_a_folder_is_refused_with_the_reason(make_job: MakeJob, tmp_path: Path) -> None:
    from PIL import Image

    folder = tmp_path / "photos"
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (20, 20), (40 * number, 0, 0)).save(folder / label / f"{label}{number}.png")

    def job(count: int) -> CacheJob:
        spec = SourceSpec(kind="folder", path=str(folder), shard_size=4, label=None)  # the teacher has other classes
        return replace(make_job(FEW, views(count)), source=open_source(spec))

    build_cache(job(1))
    extend(job(2))
    assert open_cache(job(2).root, job(2).asked).rows == 12
    for number in range(9):
        Image.new("RGB", (20, 20), (0, 9 * number, 0)).save(folder / "cat" / f"new{number}.png")
    with pytest.raises(DataError, match=r"cut into shards in one mixed order.*source\.kind: webdataset"):
        plan_extensions(job(2))


def test_shards_of_a_cache_that_the_source_lost_are_an_error(make_job: MakeJob, images: Path) -> None:
    build_cache(make_job(FEW, views(2)))
    (images / "train-1.tar").unlink()
    with pytest.raises(StaleCacheError, match="the cache has shard train-1"):
        plan_extensions(make_job(ALL, views(2)))


def test_a_base_cannot_be_finished_without_all_its_signals(make_job: MakeJob) -> None:
    build_cache(make_job(FEW, views(2)), only=lambda shard: shard == "train-0")
    job = make_job({"logits": {"codec": "f32"}}, views(2))
    with pytest.raises(StageError, match=r"keeps embedding as well, and its 2 missing shards need it"):
        build_cache(job)


def test_a_view_is_the_same_whichever_range_draws_it() -> None:
    whole = ViewPolicy(ViewsSpec.model_validate(views(5)))
    ids = ["a", "b", "c"]
    drawn = whole.draw(ids).reshape(3, 5, -1)
    for first in range(5):
        for count in range(1, 6 - first):
            part = whole.range(first, count)
            np.testing.assert_array_equal(part.draw(ids), drawn[:, first : first + count].reshape(3 * count, -1))
            assert (part.fingerprint == whole.fingerprint) == (first == 0 and count == 5)
    for first, count in ((0, 6), (5, 1), (-1, 2), (2, 0)):
        with pytest.raises(DataError, match="views"):
            whole.range(first, count)
    with pytest.raises(DataError):
        whole.range(2, 3).range(0, 3)


def test_a_restricted_source_is_the_source_of_those_files(images: Path) -> None:
    whole = open_source(SourceSpec(path=str(images / "*.tar")))
    some = open_source(SourceSpec(path=str(images / "train-{0,2}.tar")))
    part = whole.restricted(["train-2", "train-0"])
    assert part.fingerprint == some.fingerprint and list(part.shards()) == ["train-0", "train-2"]
    assert [it.id for it in part.read("train-2")] == [it.id for it in whole.read("train-2")]
    assert whole.restricted(whole.shards()).fingerprint == whole.fingerprint
    for wrong in (part.open, lambda shard: part.restricted([shard])):
        with pytest.raises(DataError, match="no shard 'train-1'"):
            wrong("train-1")


def test_an_older_cache_whose_topk_tells_no_entropy_is_extended_as_it_is(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    from teachercache.stages import cache_identity

    signals = {"top": ALL["top"]}
    with monkeypatch.context() as older:
        for module in [module for module in sys.modules.values() if hasattr(module, "written_parameters")]:
            older.setattr(module, "written_parameters", cache_identity.codec_parameters)
        build_cache(make_job(signals, views(2)))
    job = make_job(signals, views(3))
    extend(job)
    joined = open_cache(job.root, job.asked)
    assert joined.rows == 30 and joined.read(np.arange(30)).signals["top"].entropy is None
    fresh = make_job(signals, views(2), root=job.root.parent / "fresh")
    build_cache(fresh)
    assert open_cache(fresh.root).read(np.arange(20)).signals["top"].entropy.shape == (20,)
