"""A tiny random teacher, a held-out cache that it filled, and finished students, all made by the real code."""

import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from teachercache.cache import open_cache
from teachercache.cache.spec import SignalSpec
from teachercache.data import SourceSpec, ViewPolicy, ViewsSpec, open_source
from teachercache.stages.deploy.evaluation.held_out import HeldOut
from teachercache.stages.deploy.evaluation.spec import EvaluateSpec
from teachercache.stages.deploy.metrics.metric_spec import ClassificationSpec
from teachercache.stages.student.files.saved import save_student
from teachercache.stages.student.models.builders import StudentShape, build_student
from teachercache.stages.student.spec import StudentSpec
from teachercache.stages.student.stream.join import Join
from teachercache.stages.student.trial.trial import Trial
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache
from teachercache.stages.teacher.spec import TeacherSpec

CLASSES, SIDE = 7, 16
VIEWS = ViewsSpec(count=1, size=SIDE, channels=3)
LABELS: tuple[tuple[int | None, ...], ...] = ((0, 1, 2, 3, 4), (5,), (None, 6, 0, None, 1, 2))
SIGNALS = {"logits": SignalSpec(codec="f32"), "top": SignalSpec(point="logits", codec="topk", k=3)}


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def teacher_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random ViT on 16 x 16 RGB images, with weights that make its answers differ."""
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=32,
        image_size=SIDE,
        patch_size=8,
        num_labels=CLASSES,
        initializer_range=0.5,
    )
    folder = tmp_path_factory.mktemp("teacher") / "vit"
    ViTForImageClassification(config).save_pretrained(folder)
    size, mean = {"height": SIDE, "width": SIDE}, [0.5, 0.4, 0.3]
    settings = {"image_processor_type": "ViTImageProcessor", "size": size, "rescale_factor": 1 / 255}
    flags = {"do_resize": True, "do_rescale": True, "do_normalize": True, "image_mean": mean, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps({**settings, **flags}))
    return folder


def _write_tar(path: Path, labels: Sequence[int | None], rng: np.random.Generator) -> None:
    """A webdataset shard; an image without a label has no `.cls`."""
    with tarfile.open(path, "w") as tar:
        for number, label in enumerate(labels):
            buffer = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(buffer, "PNG")
            files = {"png": buffer.getvalue()} | ({} if label is None else {"cls": str(label).encode()})
            for extension, data in files.items():
                member = tarfile.TarInfo(f"{path.stem}-{number}.{extension}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


@pytest.fixture(scope="session")
def make_held_out(tmp_path_factory: pytest.TempPathFactory, teacher_folder: Path) -> Callable[..., HeldOut]:
    """make(labels, signal): shards with these labels, heard by the teacher; a new source and cache each time."""

    def make(labels: Sequence[Sequence[int | None]] = LABELS, signal: str = "logits", **views: Any) -> HeldOut:
        folder, rng = tmp_path_factory.mktemp("held-out"), np.random.default_rng(0)
        for number, shard in enumerate(labels):
            _write_tar(folder / f"test-{number}.tar", shard, rng)
        source = open_source(SourceSpec(path=str(folder / "*.tar")))
        policy = ViewPolicy(VIEWS.model_copy(update=views))
        teacher = TeacherSpec(model=str(teacher_folder), device="cpu", workers=0)
        build_cache(CacheJob(folder / "cache", source, policy, False, teacher, SIGNALS, 8))
        cache = open_cache(folder / "cache")
        return HeldOut(cache, Join(cache, source, policy), [ClassificationSpec(signal=signal)])

    return make


@pytest.fixture(scope="session")
def held_out(make_held_out: Callable[..., HeldOut]) -> HeldOut:
    """Twelve samples in three shards, two of them without a label."""
    return make_held_out()


@pytest.fixture(scope="session")
def spec() -> EvaluateSpec:
    """Batches of four; the fewest timed runs that are allowed."""
    return EvaluateSpec(source=SourceSpec(path="unused"), batch_size=4, latency_batches=(1, 3), latency_runs=5)


@pytest.fixture(scope="session")
def save() -> Callable[..., Path]:
    """save(students, name, seed, arm, classes, size, **spec): a finished student with random weights; its folder."""

    def make(
        students: Path,
        name: str = "cnn",
        seed: int = 0,
        arm: Any = "distilled",
        classes: int = CLASSES,
        size: int = SIDE,
        **changes: Any,
    ) -> Path:
        objective = [{"loss": "kl", "signal": "logits"}, {"loss": "cross_entropy"}]
        settings = {"name": name, "use": "cnn", "args": {"widths": [4, 8]}, "objective": objective, **changes}
        trial = Trial(StudentSpec.model_validate(settings), arm, seed)
        shape = StudentShape(classes, 3, size)
        folder = trial.folder(students)
        folder.mkdir(parents=True)
        save_student(folder, trial, build_student(trial.student, shape, ("logits",), seed), shape, 10, 0.5)
        return folder

    return make
