"""What killing.py kills: a small cache being extended by signals, views and shards. Round 0 is the undisturbed one."""

import shutil
from pathlib import Path

import numpy as np

from teachercache.cache import open_cache
from teachercache.cache.keeping.verify import verify_cache
from teachercache.cache.spec import SignalSpec
from teachercache.data import SourceSpec, ViewPolicy, ViewsSpec, open_source
from teachercache.stages.teacher.extension import member_jobs, plan_extensions
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache
from teachercache.stages.teacher.spec import TeacherSpec

State = tuple[str, str, str]


def make_job(state: State, folder: str, views: int, shards: str, *signals: str) -> CacheJob:
    """The job of a cache below `root`."""
    root, images, teacher = state
    return CacheJob(
        root=f"{root}/{folder}",
        source=open_source(SourceSpec(path=f"{images}/train-{shards}.tar")),
        policy=ViewPolicy(ViewsSpec.model_validate({"count": views, "size": 16, "operations": [{"op": "crop"}]})),
        keep_pixels=True,
        teacher=TeacherSpec(model=teacher, device="cpu", workers=0, batch_size=3),
        signals={name: SignalSpec(codec="f32") for name in signals},
        block=4,
    )


def extended(state: State, number: int) -> CacheJob:
    """The job of a round's extended cache."""
    return make_job(state, f"round-{number}", 3, "[0-7]", "logits", "embedding")


def prepare(root: str, images: str, teacher: str) -> State:
    """Build the base that every round begins from, before the first fork."""
    import torch

    torch.set_num_threads(1)
    state = (root, images, teacher)
    build_cache(make_job(state, "base", 2, "[0-4]", "logits"))
    return state


def begin(state: State, number: int) -> None:
    """Give the round a copy of the base, whole or not at all."""
    root = Path(state[0])
    if not (root / f"round-{number}").exists():
        shutil.rmtree(root / "copy", ignore_errors=True)
        shutil.copytree(root / "base", root / "copy")
        (root / "copy").rename(root / f"round-{number}")


def work(state: State, number: int) -> None:
    """Compute what is missing of the round's copy of the base."""
    begin(state, number)
    job = extended(state, number)
    for plan in plan_extensions(job):
        build_cache(plan.job)
    for member in member_jobs(job):
        build_cache(member)


def compare(state: State, rounds: int) -> None:
    """Every round's cache is whole and equal to the undisturbed one, and holds each extension once."""
    first = open_cache(extended(state, 0).root)
    rows = np.arange(first.rows)
    expected = {name: first.encoded(name, rows)["values"] for name in first.signals}
    assert len(first.members) == 4 and len(rows) == 8 * 6 * 3
    for number in range(1, rounds + 1):
        cache = open_cache(extended(state, number).root, extended(state, number).asked)
        cache.require_complete(tuple(expected))
        assert [member.name for member in cache.members] == [member.name for member in first.members]
        assert verify_cache(cache) == [], number
        for name, values in expected.items():
            np.testing.assert_array_equal(cache.encoded(name, rows)["values"], values, err_msg=f"{number}: {name}")
        for shard in cache.shards:
            np.testing.assert_array_equal(cache.reader(shard).index.ids, first.reader(shard).index.ids)
            np.testing.assert_array_equal(cache.reader(shard).parameters, first.reader(shard).parameters)
