"""Texts of like length go through the teacher together, and the cache holds the same rows in the same order."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from teachercache.cache import open_cache
from teachercache.cache.codecs import HeadLogits, QueryKey, Ragged
from teachercache.stages.teacher.asking import ask_again
from teachercache.stages.teacher.buckets import hear_rows
from teachercache.stages.teacher.families.causal_lm import CausalLM
from teachercache.stages.teacher.families.text import TextEncoder
from teachercache.stages.teacher.inputs.batch import PreparedBatch
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache

FamilyJob = Callable[..., CacheJob]
SIGNALS: dict[str, dict[str, Any]] = {
    "hidden.1": {"codec": "f32"},
    "attention.0": {"codec": "f32"},
    "qk": {"point": "attention.1", "codec": "factored"},
    "mean": {"point": "hidden.-1", "reduce": "mean", "codec": "f32"},
}


@pytest.mark.parametrize(("name", "adapter"), [("bert", TextEncoder), ("llama", CausalLM)])
def test_rows_lie_as_in_the_source_whatever_their_lengths(
    family_job: FamilyJob, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, adapter: Any
) -> None:
    job = family_job(name, SIGNALS, {"count": 3, "operations": [{"op": "caption"}]}, images=False)
    one = replace(job, root=tmp_path / "one", teacher=job.teacher.model_copy(update={"batch_size": 10_000}))
    build_cache(one)
    passes: list[torch.Tensor] = []
    call = adapter.__call__

    def noted(self: Any, inputs: Any) -> Any:
        passes.append(inputs["attention_mask"])
        return call(self, inputs)

    monkeypatch.setattr(adapter, "__call__", noted)
    build_cache(job)
    assert all(len(mask) <= 4 for mask in passes) and all(bool((mask.sum(dim=1) > 0).all()) for mask in passes)
    found, expected = open_cache(job.address), open_cache(one.address)
    rows = np.arange(30)
    a, b = (cache.read(rows, list(SIGNALS)).signals for cache in (found, expected))
    for signal in SIGNALS:
        if signal == "mean":
            np.testing.assert_allclose(a[signal], b[signal], atol=1e-4)
            continue
        np.testing.assert_array_equal(a[signal].lengths, b[signal].lengths)
        np.testing.assert_allclose(a[signal].values, b[signal].values, atol=1e-2 if signal == "qk" else 1e-4)
    assert ask_again(job, 12, 0).disagreements == []


def test_less_padding_is_computed_and_every_form_comes_back_in_order() -> None:
    rng = np.random.default_rng(0)
    lengths = torch.from_numpy(rng.integers(1, 40, 64))
    mask = (torch.arange(40) < lengths[:, None]).to(torch.int64)
    ids = torch.arange(1, 65)[:, None] * mask
    none = np.zeros(0)
    inputs = {"input_ids": ids, "attention_mask": mask}
    piece = PreparedBatch("s", 0, 64, True, none, none, np.zeros((64, 0)), None, inputs)
    computed, weight = [], torch.ones(3, 1)

    def teacher(inputs: Any) -> dict[str, Any]:
        computed.append(inputs["input_ids"].numel())
        tokens, real = inputs["input_ids"].float(), inputs["attention_mask"].sum(dim=1)
        maps = tokens[:, None, :, None] * inputs["attention_mask"][:, None, None, :]
        first = tokens[:, :1]
        return {
            "tokens": Ragged(tokens[..., None], real),
            "maps": Ragged(maps, real),
            "qk": QueryKey(tokens[:, None, :, None], tokens[:, None, :, None], real, None),
            "head": HeadLogits(first, weight, weight[:, 0]),
            "row": first,
        }

    found: dict[str, Any] = hear_rows(teacher, piece, 16, torch.device("cpu"))
    assert sum(computed) < 0.8 * mask.numel() and len(computed) == 4
    (whole,) = [teacher(piece.inputs)]
    for name in ("tokens", "maps"):
        size = found[name].values.shape
        torch.testing.assert_close(found[name].values, whole[name].values[tuple(map(slice, size))])
        torch.testing.assert_close(found[name].lengths, whole[name].lengths)
    torch.testing.assert_close(found["qk"].query[..., 0, :], whole["qk"].query[..., 0, :])
    torch.testing.assert_close(found["head"].hidden, whole["head"].hidden)
    torch.testing.assert_close(found["row"], whole["row"])
