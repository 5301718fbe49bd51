"""Fixtures that several rooms share: tiny random teachers, small sources of images, jobs over them."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from teachercache.cache.spec import SignalSpec
from teachercache.data import SourceSpec, ViewPolicy, ViewsSpec, open_source
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.spec import TeacherSpec

VIEWS = {
    "count": 3,
    "size": 16,
    "channels": 3,
    "operations": [{"op": "crop"}, {"op": "flip"}, {"op": "jitter"}],
}
SIGNALS: dict[str, dict[str, Any]] = {
    "logits": {"codec": "f32"},
    "top": {"point": "logits", "codec": "topk", "k": 3},
    "embedding": {"codec": "f32"},
    "hidden.1": {"codec": "f32"},
    "attention.-1": {"codec": "f32"},
    "attention.0": {"codec": "u8sqrt", "reduce": "head-mean"},
}


def save_processor(folder: Path, size: int, mean: list[float]) -> None:
    """An image processor's file, as save_pretrained writes it."""
    settings = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": size, "width": size},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": mean,
        "image_std": [0.5] * len(mean),
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


@pytest.fixture(scope="session")
def tiny_vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random ViT on 16 x 16 RGB images, 5 classes, with weights that make attention far from uniform."""
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=32,
        image_size=16,
        patch_size=8,
        num_labels=5,
        initializer_range=0.3,
    )
    folder = tmp_path_factory.mktemp("teacher") / "vit"
    ViTForImageClassification(config).save_pretrained(folder)
    save_processor(folder, 16, [0.5, 0.4, 0.3])
    return folder


def write_tar(path: Path, samples: dict[str, np.ndarray]) -> None:
    """A webdataset shard of PNG images with labels."""
    with tarfile.open(path, "w") as tar:
        for number, (key, image) in enumerate(samples.items()):
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "PNG")
            for name, data in ((f"{key}.png", buffer.getvalue()), (f"{key}.cls", str(number % 5).encode())):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three shards with 5, 1 and 4 images of 20 x 24 pixels."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "images"
    folder.mkdir()
    for shard, count in enumerate((5, 1, 4)):
        found = {f"{shard}-{i}": rng.integers(0, 256, (20, 24, 3), dtype=np.uint8) for i in range(count)}
        write_tar(folder / f"train-{shard}.tar", found)
    return folder


@pytest.fixture
def make_job(tmp_path: Path, tiny_vit: Path, images: Path) -> Callable[..., CacheJob]:
    """A job over `images` with the tiny teacher; keyword arguments change teacher, signals, views or root."""

    def make(
        signals: dict[str, dict[str, Any]] = SIGNALS,
        views: dict[str, Any] = VIEWS,
        keep_pixels: bool = False,
        root: Path | None = None,
        **teacher: Any,
    ) -> CacheJob:
        settings = {"model": str(tiny_vit), "device": "cpu", "workers": 0, "batch_size": 7, **teacher}
        return CacheJob(
            root=root or tmp_path / "cache",
            source=open_source(SourceSpec(path=str(images / "*.tar"))),
            policy=ViewPolicy(ViewsSpec.model_validate(views)),
            keep_pixels=keep_pixels,
            teacher=TeacherSpec.model_validate(settings),
            signals={name: SignalSpec.model_validate(spec) for name, spec in signals.items()},
            block=8,
        )

    return make
