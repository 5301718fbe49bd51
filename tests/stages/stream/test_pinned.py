"""Rows gathered straight into pinned memory are the rows, and batches of a GPU are those of the CPU."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from teachercache.cache import SignalSchema, open_cache
from teachercache.stages.student.stream import pinned
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache

SCHEMA = SignalSchema("logits", "topk", {"k": 3, "temperatures": [1.0]}, (10,))


def test_parts_have_memory_of_their_dtype_and_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = torch.empty
    monkeypatch.setattr(pinned.torch, "empty", lambda *args, pin_memory, **kwargs: empty(*args, **kwargs))  # no CUDA
    found = pinned.pinned_parts(SCHEMA, 5)
    assert {name: (x.numpy().dtype.name, tuple(x.shape)) for name, x in found.items()} == {
        part.name: (part.dtype, (5, *part.shape)) for part in SCHEMA.parts()
    }


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_rows_in_pinned_memory_are_the_rows(make_job: Callable[..., CacheJob]) -> None:
    job = make_job()
    build_cache(job)
    cache = open_cache(job.root)
    rows = np.random.default_rng(0).permutation(cache.rows)
    for name in cache.signals:
        there = pinned.pinned_parts(cache.manifest.signals[name], len(rows))
        read = cache.encoded(name, rows, {part: x.numpy() for part, x in there.items()})
        for part, tensor in pinned.as_tensors(read, there).items():
            assert tensor.is_pinned()
            copied = tensor.to("cuda", non_blocking=True).cpu().numpy()
            np.testing.assert_array_equal(copied, cache.encoded(name, rows)[part])
