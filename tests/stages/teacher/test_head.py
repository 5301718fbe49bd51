"""Logits kept as what enters the head: the same logits come out, in a fraction of the bytes, or nothing is kept."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from teachercache.cache import CacheError, DamagedCacheError, HeadLogits, open_cache
from teachercache.cache.codecs import build_codec
from teachercache.stages.errors import StageError
from teachercache.stages.student.losses import kl
from teachercache.stages.teacher.families.head_ear import HeadEar
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache

MakeJob = Callable[..., CacheJob]
SIGNALS = {
    "logits": {"codec": "head"},
    "small": {"point": "logits", "codec": "head", "keep": "int8"},
    "dense": {"point": "logits", "codec": "f32"},
}


@pytest.fixture
def built(make_job: MakeJob) -> CacheJob:
    job = make_job(SIGNALS)
    build_cache(job)
    return job


def test_a_kept_head_says_the_logits_that_the_teacher_said(built: CacheJob) -> None:
    cache = open_cache(built.root, built.fingerprint)
    read = cache.read(np.arange(cache.rows)).signals
    assert isinstance(read["logits"], HeadLogits) and read["logits"].classes == 5
    assert cache.manifest.signals["logits"].shape == (24,) and cache.manifest.signals["logits"].target_shape == (5,)
    np.testing.assert_allclose(read["logits"].logits(), read["dense"], atol=5e-3)
    np.testing.assert_allclose(read["small"].logits(), read["dense"], atol=0.1)
    chosen = np.array([3, 0])
    np.testing.assert_allclose(read["logits"].logits(chosen), read["logits"].logits()[:, chosen], atol=1e-5)
    for name, bound in (("logits", 5e-3), ("small", 0.1)):
        error = cache.manifest.signals[name].error
        assert 0 < error["max_abs"] < bound and 0 < error["hidden_max_abs"] < 0.05


def test_the_head_stands_once_in_the_cache_whatever_the_rows(built: CacheJob) -> None:
    cache = open_cache(built.root)
    assert cache.constant("logits.weight").shape == (5, 24) and cache.constant("logits.bias").shape == (5,)
    assert cache.manifest.signals["logits"].row_bytes() == 48 and cache.manifest.signals["small"].row_bytes() == 28
    assert {part.name for part in cache.manifest.signals["logits"].parts()} == {"values"}


def test_the_head_is_copied_to_a_device_once(built: CacheJob) -> None:
    cache = open_cache(built.root)
    codec = cache.codec("logits")
    parts = {name: torch.from_numpy(part) for name, part in cache.encoded("logits", np.arange(3)).items()}
    first, second = codec.decode(parts, (24,)), codec.decode(parts, (24,))
    assert isinstance(first, HeadLogits) and isinstance(second, HeadLogits)
    assert isinstance(first.weight, torch.Tensor) and first.weight is second.weight


def test_a_build_that_was_cut_short_goes_on_with_the_same_head(make_job: MakeJob) -> None:
    job = make_job(SIGNALS)
    build_cache(job, only=lambda shard: shard.endswith("1"))
    assert build_cache(job).shards == 2
    read = open_cache(job.root, job.fingerprint).read(np.arange(30)).signals
    np.testing.assert_allclose(read["logits"].logits(), read["dense"], atol=5e-3)


def test_kl_against_a_kept_head_equals_kl_against_the_logits(built: CacheJob) -> None:
    cache = open_cache(built.root)
    names = ("logits", "dense")
    parts = {n: {p: torch.from_numpy(x) for p, x in cache.encoded(n, np.arange(30)).items()} for n in names}
    head, dense = (cache.codec(n).decode(parts[n], cache.manifest.signals[n].shape) for n in names)
    student = torch.randn(30, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    values = [kl(student, target, temperature=2.0) for target in (head, dense)]
    torch.testing.assert_close(*values, atol=5e-3, rtol=0)
    gradients = [torch.autograd.grad(value.sum(), student)[0] for value in values]
    torch.testing.assert_close(*gradients, atol=5e-3, rtol=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):  # a student's autocast must not reach the teacher's logits
        torch.testing.assert_close(kl(student, head, temperature=2.0), values[0])


class Scaled(nn.Module):
    """Logits that are not W h + b of the classifier, unless the scale is 1."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale, self.classifier = scale, nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.classifier(x)
        return self.scale * logits


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_teacher_whose_logits_are_something_else_is_refused(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.randn(50, 4, dtype=dtype)
    for scale in (1.0, 1.1):
        model = Scaled(scale).to(dtype)
        ear = HeadEar(model)
        logits = model(x)
        if scale == 1.0:
            assert ear.collect({"logits": logits})["logits"].hidden.shape == (50, 8)
        else:
            with pytest.raises(StageError, match=r"not W h \+ b"):
                ear.collect({"logits": logits})
        ear.close()
        model(x)
        with pytest.raises(StageError, match="ran 0 times"):
            ear.collect({"logits": logits})


@pytest.mark.parametrize(
    "signal", [{"point": "embedding", "codec": "head"}, {"point": "logits", "codec": "head", "reduce": "mean"}]
)
def test_settings_that_do_not_go_with_a_head_are_refused(make_job: MakeJob, signal: dict[str, str]) -> None:
    with pytest.raises(StageError, match=r"cache\.signals\.odd: codec head keeps the logits"):
        build_cache(make_job({"odd": signal}))


def test_a_head_that_does_not_fit_its_signal_is_damage(built: CacheJob) -> None:
    weight, bias = np.zeros((5, 24), np.float32), np.zeros(5, np.float32)
    with pytest.raises(DamagedCacheError, match="head of 6 classes"):
        build_codec("head", {"classes": 6, "weight": weight, "bias": bias})
    parts = open_cache(built.root).encoded("logits", np.arange(2))
    with pytest.raises(CacheError, match=r"cache\.codec"):
        build_codec("head", {"classes": 5}).decode(parts, (24,))
