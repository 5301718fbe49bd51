"""Students learn from attention that is kept in another form than a map as they would from the map itself."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from teachercache.cache import open_cache
from teachercache.stages.student.objective.objective import build_objective
from teachercache.stages.student.spec import StudentSpec, TrainSpec
from teachercache.stages.student.stream.join import Join
from teachercache.stages.student.stream.stream import Stream
from teachercache.stages.student.trial.arms import lesson
from teachercache.stages.student.trial.trial import Trial
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache

SIGNALS: dict[str, dict[str, Any]] = {
    "logits": {"codec": "f32"},
    "map": {"point": "attention.1", "codec": "f32"},
    "factored": {"point": "attention.1", "codec": "factored"},
    "row": {"point": "attention.1", "codec": "f32", "reduce": "cls-row"},
    "relations": {"point": "qkv.1", "codec": "f16"},
}


@pytest.mark.parametrize("workers", [0, 1])
def test_the_loss_on_factored_attention_is_that_on_the_map(make_job: Callable[..., CacheJob], workers: int) -> None:
    job = make_job(signals=SIGNALS)
    build_cache(job)
    cache = open_cache(job.root, job.fingerprint)
    train = TrainSpec.model_validate({"steps": 2, "batch_size": 8, "workers": workers})
    stream = Stream(cache, Join(cache, job.source, job.policy), train, list(SIGNALS), torch.device("cpu"), False)
    batch = next(iter(stream.batches(0, 2)))
    draw = torch.Generator().manual_seed(0)
    student = torch.randn(8, *cache.manifest.signals["map"].shape, generator=draw).softmax(-1)
    losses = {}
    for name in ("map", "factored", "row"):
        terms = [{"loss": "attention_kl", "output": "attention.1", "signal": name}]
        trial = Trial(StudentSpec(name="s", use="cnn", objective=terms), "distilled", 0)
        shapes = {"attention.1": tuple(student.shape[1:]), "logits": (5,)}
        objective = build_objective(trial, shapes, cache.manifest.signals, 5)
        losses[name], _ = objective({"attention.1": student}, lesson(batch, "distilled"))
    torch.testing.assert_close(losses["factored"], losses["map"], rtol=1e-3, atol=1e-4)
    target = batch.signals["map"][:, :, 0]
    torch.testing.assert_close(losses["row"], (target * (target / student[:, :, 0]).log()).sum(-1).mean())
    assert batch.signals["relations"].shape == (8, 3, 3, 5, 8)
