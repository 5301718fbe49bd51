"""Signals of every form through phase one: what is cached decodes to what plain transformers says, or it is refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from teachercache.cache import Cache, open_cache
from teachercache.stages.errors import StageError
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache

MakeJob = Callable[..., CacheJob]
FORMS: dict[str, dict[str, Any]] = {
    "maps": {"point": "attention.1", "codec": "f32"},
    "factored": {"point": "attention.1", "codec": "factored"},
    "factored.int8": {"point": "attention.-2", "codec": "factored", "keep": "int8"},
    "cls-row": {"point": "attention.1", "codec": "f32", "reduce": "cls-row"},
    "tokens": {"point": "hidden.2", "codec": "f32"},
    "last": {"point": "hidden.2", "codec": "f32", "reduce": "last"},
    "bf16": {"point": "hidden.2", "codec": "bf16"},
    "u8affine": {"point": "hidden.2", "codec": "u8affine", "scale": "f16"},
    "relations": {"point": "qkv.1", "codec": "f32"},
    "relations.int8": {"point": "qkv.1", "codec": "int8"},
}


def built(job: CacheJob) -> tuple[Cache, dict[str, np.ndarray]]:
    build_cache(job)
    cache = open_cache(job.root, job.fingerprint)
    return cache, dict(cache.read(np.arange(cache.rows)).signals)


def test_every_form_decodes_to_what_the_teacher_says(make_job: MakeJob) -> None:
    cache, values = built(make_job(signals=FORMS))
    np.testing.assert_allclose(values["factored"], values["maps"], atol=3e-3)
    np.testing.assert_allclose(values["factored.int8"], values["maps"], atol=0.15)
    np.testing.assert_allclose(values["cls-row"], values["maps"][:, :, 0], atol=1e-6)
    np.testing.assert_allclose(values["last"], values["tokens"][:, -1], atol=1e-6)
    np.testing.assert_allclose(values["bf16"], values["tokens"], rtol=2**-8, atol=1e-6)
    step = np.ptp(values["tokens"], axis=-1, keepdims=True) / 255
    assert np.all(np.abs(values["u8affine"] - values["tokens"]) <= step * 0.6 + 1e-3)
    query, key, value = np.moveaxis(values["relations"], 1, 0)
    scores = np.einsum("nhqd,nhkd->nhqk", query, key) * query.shape[-1] ** -0.5
    np.testing.assert_allclose(torch.from_numpy(scores).softmax(-1), values["maps"], atol=1e-5)
    assert value.shape == (cache.rows, 3, 5, 8)
    errors = {name: schema.error for name, schema in cache.manifest.signals.items()}
    assert 0 < errors["factored"]["row_l1_mean"] < errors["factored.int8"]["row_l1_mean"]
    assert cache.manifest.signals["factored"].point == "attention.1"


def test_the_stated_error_of_factored_attention_is_that_of_the_teachers_own_maps(make_job: MakeJob) -> None:
    """The teacher here computes attention itself; what is decoded is as far from that as the manifest says."""
    job = make_job(signals={name: FORMS[name] for name in ("maps", "factored.int8")}, batch_size=64)
    cache, values = built(job)
    first = cache.row_counts[0]  # the manifest's figures are those of the first batch, which is the first shard
    distance = np.abs(values["factored.int8"] - values["maps"])[:first]
    stated = cache.manifest.signals["factored.int8"].error
    assert stated["max_abs"] == pytest.approx(float(distance.max()), abs=1e-5)
    assert stated["row_l1_mean"] == pytest.approx(float(distance.sum(-1).mean()), abs=1e-5)


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        ({"point": "attention.1", "codec": "u8sqrt", "causal": True}, "looks at .*Leave out `causal`"),
        ({"point": "attention.1", "reduce": "head-mean", "causal": True}, "Leave out `causal`"),
        ({"point": "hidden.1", "causal": True}, "causal is for attention maps"),
        ({"point": "attention.1", "reduce": "cls-row", "causal": True}, "causal is for attention maps"),
        ({"point": "hidden.1", "codec": "factored"}, "factored keeps attention.N"),
        ({"point": "attention.1", "codec": "factored", "reduce": "head-mean"}, "takes neither reduce nor causal"),
        ({"point": "attention.1", "codec": "factored", "causal": True}, "takes neither reduce nor causal"),
        ({"point": "qk.1"}, "point: attention.1, codec: factored"),
        ({"point": "embedding", "codec": "pca", "dimensions": 4}, "cache recode"),
        ({"point": "embedding", "reduce": "last"}, "reduce: last takes"),
        ({"point": "attention.1", "reduce": "mean", "codec": "u8affine", "scale": "f16", "causal": True}, "causal is"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_written(
    make_job: MakeJob, signal: dict[str, Any], message: str
) -> None:
    job = make_job(signals={"x": signal})
    with pytest.raises(StageError, match=message):
        build_cache(job)
    assert not (job.root / "manifest.json").exists()
