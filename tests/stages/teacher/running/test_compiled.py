"""`compile: true`: every point is heard as before, or the teacher is refused. Tracing is tried with a backend that
compiles nothing, so that it takes seconds; the real one is slow and needs a C++ compiler."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from teachercache.cache import open_cache
from teachercache.stages.errors import StageError
from teachercache.stages.teacher.families.causal_lm import CausalLM
from teachercache.stages.teacher.families.image_classifier import ImageClassifier
from teachercache.stages.teacher.families.text import TextEncoder
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache
from teachercache.stages.teacher.running import compiled

MakeJob = Callable[..., CacheJob]
POINTS: dict[str, dict[str, Any]] = {
    "logits": {"codec": "f32"},
    "embedding": {"codec": "f32"},
    "hidden.1": {"codec": "f32"},
    "attention.-1": {"codec": "f32"},
    "qkv.1": {"codec": "f32"},
    "vit.layers.0.mlp": {"codec": "f32"},
}


def test_layers_that_are_listened_to_stay_as_they_are_and_all_others_are_compiled(make_job: MakeJob) -> None:
    job = make_job(signals=POINTS)
    inputs = {"pixel_values": torch.randn(3, 3, 16, 16)}
    with closing(ImageClassifier(job.teacher, job.folder, job.signals, torch.device("cpu"))) as teacher:
        before = teacher(inputs)
        said = compiled.compile_teacher(teacher, job.teacher, inputs, backend="eager")
        assert "parts of ViTForImageClassification" in said
        after = teacher(inputs)
        assert list(after) == list(POINTS)
        for name, values in before.items():
            torch.testing.assert_close(after[name], values, msg=name)
        one = teacher({"pixel_values": inputs["pixel_values"][:1]})  # another size of the batch
        torch.testing.assert_close(one["attention.-1"], before["attention.-1"][:1])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "adapter"), [("bert", TextEncoder), ("llama", CausalLM)])
def test_texts_of_another_length_are_heard_too(family_job: MakeJob, name: str, adapter: Any) -> None:
    signals = {"hidden.1": {"codec": "f32"}, "attention.0": {"codec": "f32"}}
    job = family_job(name, signals, images=False)
    draw = torch.Generator().manual_seed(0)
    texts = [torch.randint(4, 16, (3, length), generator=draw) for length in (6, 9)]
    given = [{"input_ids": ids, "attention_mask": torch.ones_like(ids)} for ids in texts]
    with closing(adapter(job.teacher, job.folder, job.signals, torch.device("cpu"))) as teacher:
        before = [teacher(inputs) for inputs in given]
        compiled.compile_teacher(teacher, job.teacher, given[0], backend="eager")
        for inputs, expected in zip(given, before, strict=True):
            for signal, values in teacher(inputs).items():
                torch.testing.assert_close(values.values, expected[signal].values, msg=signal)


def test_a_teacher_that_says_something_else_when_compiled_is_refused(make_job: MakeJob) -> None:
    def wrong(graph: Any, inputs: Any) -> Any:
        return lambda *args: tuple(x * 1.1 if x.is_floating_point() else x for x in graph(*args))

    job = make_job(signals={"logits": {}})
    with closing(ImageClassifier(job.teacher, job.folder, job.signals, torch.device("cpu"))) as teacher:
        inputs = {"pixel_values": torch.randn(3, 3, 16, 16)}
        with pytest.raises(StageError, match=r"teacher.compile: the compiled teacher says something else at logits"):
            compiled.compile_teacher(teacher, job.teacher, inputs, backend=wrong)


def test_a_machine_that_cannot_compile_is_told_so(make_job: MakeJob) -> None:
    def broken(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no C++ compiler was found")

    job = make_job(signals={"logits": {}})
    with closing(ImageClassifier(job.teacher, job.folder, job.signals, torch.device("cpu"))) as teacher:
        inputs = {"pixel_values": torch.randn(3, 3, 16, 16)}
        with pytest.raises(StageError, match=r"torch.compile failed here .*Set teacher.compile: false"):
            compiled.compile_teacher(teacher, job.teacher, inputs, backend=broken)


def test_regions_are_the_largest_that_nobody_listens_inside_of() -> None:
    plain = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Linear(2, 2))
    assert list(compiled.regions(plain)) == []  # lists of single operations: nothing to fuse

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x).relu()

    model = nn.Module()
    model.blocks = nn.ModuleList([Block(), Block()])
    assert list(compiled.regions(model)) == list(model.blocks)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, when it imports its compiler
def test_a_cache_built_with_inductor_is_the_same(make_job: MakeJob, tmp_path: Path) -> None:
    caches = []
    for name, asked in (("plain", False), ("compiled", True)):
        job = make_job(signals=POINTS, root=tmp_path / name, compile=asked)
        summary = build_cache(job)
        assert any("compiled: " in remark for remark in summary.pace.remarks) == asked
        caches.append(open_cache(job.root, job.fingerprint))
    rows = np.arange(30)
    ours, theirs = (cache.read(rows, list(POINTS)).signals for cache in caches)
    for name in POINTS:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-4, err_msg=name)
