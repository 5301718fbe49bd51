"""`compress: zstd` in a configuration: the same values, and no other cache to a configuration without it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from teachercache.cache import open_cache
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache


def test_a_compressed_build_holds_the_same_and_is_no_other_cache(
    make_job: Callable[..., CacheJob], tmp_path: Path
) -> None:
    signals = {"logits": {"codec": "f32"}, "attention.1": {"codec": "u8sqrt"}}
    packed = {name: {**spec, "compress": "zstd"} for name, spec in signals.items()}
    jobs = [make_job(signals=chosen, root=tmp_path / str(i)) for i, chosen in enumerate((signals, packed))]
    for job in jobs:
        build_cache(job)
    plain, compressed = (open_cache(job.root, jobs[0].fingerprint) for job in jobs)
    assert {schema.compression for schema in compressed.manifest.signals.values()} == {"zstd"}
    rows = np.arange(plain.rows)
    for name in signals:
        np.testing.assert_array_equal(compressed.read(rows).signals[name], plain.read(rows).signals[name])
    assert build_cache(jobs[1]).shards == 0
