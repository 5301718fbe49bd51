"""Families in half precision and through loader workers: what is kept stays near what full precision says."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from teachercache.cache import open_cache
from teachercache.cache.codecs import Ragged
from teachercache.stages.teacher.independence import check_independence
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache

SIGNALS: dict[str, dict[str, dict[str, Any]]] = {
    "clip": {
        "text_embeds": {"codec": "f32"},
        "text.hidden.-1": {"codec": "f32"},
        "text.attention.0": {"codec": "f32", "causal": True},
        "qk": {"point": "text.attention.1", "codec": "factored"},
        "vision.attention.0": {"codec": "u8sqrt"},
    },
    "bert": {"embedding": {"codec": "f32"}, "hidden.1": {"codec": "int8"}, "attention.0": {"codec": "u8sqrt"}},
    "llama": {"hidden.-1": {"codec": "f32"}, "next": {"point": "logits", "reduce": "last", "codec": "f32"}},
}


def heard(job: CacheJob) -> dict[str, np.ndarray]:
    build_cache(job)
    found = open_cache(job.address, job.fingerprint).read(np.arange(10), list(job.signals)).signals
    return {name: x.values if isinstance(x, Ragged) else x for name, x in found.items()}


@pytest.mark.parametrize("how", [{"dtype": "bfloat16"}, {"autocast": "bfloat16"}, {"workers": 1}], ids=str)
@pytest.mark.parametrize("name", list(SIGNALS))
def test_every_signal_stays_near_full_precision(
    family_job: Callable[..., CacheJob], tmp_path: Any, name: str, how: dict[str, Any]
) -> None:
    job = family_job(name, SIGNALS[name], **how)
    check_independence(job)
    found = heard(job)
    (tmp_path / "cache").rename(tmp_path / "other")
    exact = heard(family_job(name, SIGNALS[name]))
    for signal, expected in exact.items():
        bound = 1e-5 if "workers" in how else 0.15 * max(1.0, float(np.abs(expected).max()))
        assert np.isfinite(found[signal]).all()
        assert float(np.abs(found[signal] - expected).max()) <= bound, signal
