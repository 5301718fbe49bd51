"""Teachers and sources to measure with: the shipped ones where they are, and a heavier ViT of random weights."""

import io
import json
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification
from transformers.utils.logging import disable_progress_bar

from teachercache.cache.spec import SignalSpec
from teachercache.data import SourceSpec, ViewPolicy, ViewsSpec, open_source
from teachercache.pipeline.config import Config, load_config
from teachercache.pipeline.recipes.image_vit.train_teacher import make_model
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.spec import TeacherSpec

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "pipeline" / "recipes" / "image_vit" / "recipe.yaml"
SAMPLES = ROOT / "data" / "samples" / "fashion-mnist"


@dataclass(frozen=True, slots=True)
class Bench:
    """What a cache is built from; `about` says what it is."""

    about: str
    source: SourceSpec
    views: ViewsSpec
    folder: Path
    signals: dict[str, SignalSpec]
    block: int = 256

    def job(self, root: Path, **teacher: Any) -> CacheJob:
        """The job of building this cache in `root`; keyword arguments are settings of the teacher."""
        return CacheJob(
            root=root,
            source=open_source(self.source),
            policy=ViewPolicy(self.views),
            keep_pixels=self.views.keep_pixels,
            teacher=TeacherSpec.model_validate({"model": str(self.folder), "device": "cpu", **teacher}),
            signals=self.signals,
            block=self.block,
        )


@cache
def recipe() -> Config:
    """The shipped recipe."""
    return load_config(RECIPE)


def shipped(scratch: Path, views: int, shards: int = 1, samples: int | None = None, keep_pixels: bool = True) -> Bench:
    """The shipped recipe over the first shards of its source, or the first samples of one shard.

    Where the shipped teacher is missing, one of its shape with random weights takes its place.
    """
    config = recipe()
    folder, about = ROOT / config.teacher.model, "shipped teacher"
    if not any(folder.glob("*.safetensors")):
        folder, about = scratch / "random-vit", "random ViT of the shipped teacher's shape"
        _save(make_model(), folder, 28, 1)
    path = SAMPLES / f"train-000[0-{shards - 1}].tar"
    if samples is not None:
        path = _first_samples(SAMPLES / "train-0000.tar", samples, scratch / "few.tar")
    source = config.source.model_copy(update={"path": str(path)})
    seen = config.views.model_copy(update={"count": views, "keep_pixels": keep_pixels})
    return Bench(about, source, seen, folder, dict(config.cache.signals))


def heavy(scratch: Path, images: int, side: int, hidden: int, layers: int) -> Bench:
    """A larger ViT of random weights over JPEG images, plain views: logits, embedding and two attention layers."""
    folder = scratch / "heavy-vit"
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        intermediate_size=4 * hidden,
        image_size=side,
        num_labels=1000,
    )
    _save(ViTForImageClassification(config), folder, side, 3)
    _write_photographs(scratch / "photographs.tar", images, side + side // 4)
    signals = {
        "logits": SignalSpec(codec="f16"),
        "embedding": SignalSpec(codec="int8"),
        f"attention.{layers - 1}": SignalSpec(codec="u8sqrt"),
        f"attention.{layers // 2}": SignalSpec(codec="u8sqrt", reduce="head-mean"),
    }
    source = SourceSpec(path=str(scratch / "photographs.tar"))
    about = f"random ViT, {side} px, hidden {hidden}, {layers} layers"
    # A shard is padded to whole blocks: with blocks of 256 rows these few images would mostly measure padding.
    return Bench(about, source, ViewsSpec(size=side), folder, signals, block=8)


def _first_samples(tar: Path, count: int, path: Path) -> Path:
    """A copy of the first samples of a shard."""
    with tarfile.open(tar) as whole, tarfile.open(path, "w") as part:
        keys = dict.fromkeys(member.name.split(".")[0] for member in whole)
        kept = set(list(keys)[:count])
        for member in whole:
            if member.name.split(".")[0] in kept:
                part.addfile(member, whole.extractfile(member))
    return path


def _save(model: ViTForImageClassification, folder: Path, side: int, channels: int) -> None:
    disable_progress_bar()
    model.save_pretrained(folder)
    settings = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": side, "width": side},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5] * channels,
        "image_std": [0.5] * channels,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def _write_photographs(path: Path, count: int, side: int) -> None:
    """JPEGs that cost as much to decode as photographs: smooth noise, side x 4/3 side pixels."""
    rng = np.random.default_rng(0)
    with tarfile.open(path, "w") as tar:
        for number in range(count):
            coarse = Image.fromarray(rng.integers(0, 256, (side // 8, side // 6, 3), dtype=np.uint8))
            buffer = io.BytesIO()
            coarse.resize((side * 4 // 3, side), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
            member = tarfile.TarInfo(f"{number:06d}.jpg")
            member.size = len(buffer.getvalue())
            tar.addfile(member, io.BytesIO(buffer.getvalue()))
