"""On a GPU the same cache comes out as on the CPU, within the precision of its kernels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from teachercache.cache import open_cache
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache


@pytest.mark.gpu
def test_a_cache_built_on_cuda_equals_one_built_on_the_cpu(make_job: Callable[..., CacheJob], tmp_path: Path) -> None:
    caches = []
    for device in ("cpu", "cuda"):
        job = make_job(device=device, root=tmp_path / device, keep_pixels=True)
        build_cache(job)
        caches.append(open_cache(job.root, job.fingerprint))
    rows = np.arange(caches[0].rows)
    ours, theirs = (cache.read(rows, ["logits", "embedding", "attention.-1", "pixels"]) for cache in caches)
    np.testing.assert_array_equal(ours.ids, theirs.ids)
    for name, values in ours.signals.items():
        np.testing.assert_allclose(values, theirs.signals[name], atol=5e-3, err_msg=name)
