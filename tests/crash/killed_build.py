"""What killing.py kills: a build of a small cache. Round 0 is the undisturbed one."""

import numpy as np

from teachercache.cache import open_cache
from teachercache.cache.keeping.verify import verify_cache
from teachercache.cache.spec import SignalSpec
from teachercache.data import SourceSpec, ViewPolicy, ViewsSpec, open_source
from teachercache.stages.remote_source import remote_tars
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache
from teachercache.stages.teacher.spec import TeacherSpec


def prepare(root: str, images: str, teacher: str) -> tuple[str, str, str]:
    """Load what every child needs before the first fork."""
    import torch
    import transformers.models.vit.image_processing_pil_vit
    import transformers.models.vit.modeling_vit  # noqa: F401

    torch.set_num_threads(1)
    return root, images, teacher


def job(state: tuple[str, str, str], number: int) -> CacheJob:
    """The job of a round."""
    root, images, teacher = state
    return CacheJob(
        root=f"{root}/round-{number}",  # a folder, or an address in a store
        source=open_source(SourceSpec(path=f"{images}/*.tar"), remote_tars),
        policy=ViewPolicy(ViewsSpec.model_validate({"count": 3, "size": 16, "operations": [{"op": "crop"}]})),
        keep_pixels=True,
        teacher=TeacherSpec(model=teacher, device="cpu", workers=0, batch_size=3),
        signals={"logits": SignalSpec(codec="f32"), "attention.0": SignalSpec(codec="u8sqrt")},
        block=4,
    )


def work(state: tuple[str, str, str], number: int) -> None:
    """Build what is missing."""
    build_cache(job(state, number))


def compare(state: tuple[str, str, str], rounds: int) -> None:
    """Every round's cache is whole and equal to the undisturbed one, value for value."""
    first = open_cache(job(state, 0).root)
    rows = np.arange(first.rows)
    expected = {name: first.encoded(name, rows) for name in first.signals}
    for number in range(1, rounds + 1):
        cache = open_cache(job(state, number).root, job(state, number).fingerprint)
        assert cache.missing() == () and verify_cache(cache) == [], number
        for name, parts in expected.items():
            for part, values in cache.encoded(name, rows).items():
                np.testing.assert_array_equal(values, parts[part], err_msg=f"round {number}: {name}/{part}")
        for shard in cache.shards:
            np.testing.assert_array_equal(cache.reader(shard).index.ids, first.reader(shard).index.ids)
            np.testing.assert_array_equal(cache.reader(shard).parameters, first.reader(shard).parameters)
