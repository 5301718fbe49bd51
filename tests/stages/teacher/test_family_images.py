"""Image classifiers of several anatomies: what the cache holds is what plain transformers says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from teachercache.cache import open_cache
from teachercache.data import decode
from teachercache.stages.errors import StageError
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache

MakeJob = Callable[..., CacheJob]
F32 = {"codec": "f32"}
SIDE = 16
WIDE = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 32}
POINTS = {  # what is heard of each, beside logits and embedding
    "DeiTConfig": ("hidden.1", "attention.-1", "qkv.0"),
    "SwinConfig": ("hidden.0", "hidden.-1", "swin.encoder.layers.0.blocks.0.layernorm_after"),
    "ConvNextConfig": ("hidden.0", "hidden.2", "convnext.encoder.stages.1.layers.0.dwconv"),
    "ResNetConfig": ("hidden.0", "hidden.-1", "resnet.encoder.stages.0.layers.0"),
}


def config(name: str) -> Any:
    import transformers

    sizes: dict[str, dict[str, Any]] = {
        "DeiTConfig": {**WIDE, "image_size": SIDE, "patch_size": 8, "initializer_range": 0.3},
        "SwinConfig": {"image_size": SIDE, "patch_size": 2, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2]}
        | {"window_size": 4, "initializer_range": 0.3},
        "ConvNextConfig": {"hidden_sizes": [8, 12], "depths": [1, 1], "num_stages": 2, "initializer_range": 0.3},
        "ResNetConfig": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
    }
    return getattr(transformers, name)(**sizes[name], num_labels=4)


@pytest.fixture
def classifier_job(make_job: MakeJob, tmp_path: Path) -> MakeJob:
    """classifier_job("SwinConfig", signals): a job over the images with a tiny random model of that anatomy."""
    from transformers import AutoModelForImageClassification, ViTImageProcessorPil

    def make(name: str, signals: dict[str, dict[str, Any]]) -> CacheJob:
        torch.manual_seed(0)
        settings = config(name)
        settings.architectures = [f"{name.removesuffix('Config')}ForImageClassification"]
        AutoModelForImageClassification.from_config(settings).save_pretrained(tmp_path / name)
        ViTImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(tmp_path / name)
        return make_job(signals, model=str(tmp_path / name), batch_size=4)

    return make


def plain(job: CacheJob, point: str | None) -> tuple[Any, dict[str, Any]]:
    """What transformers says by itself of all rows, in eager attention; and what the module at `point` returned."""
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    model = AutoModelForImageClassification.from_pretrained(job.folder, attn_implementation="eager").eval()
    processor = AutoImageProcessor.from_pretrained(job.folder, use_fast=False)
    views = []
    for shard in job.source.shards():
        opened = job.source.open(shard)
        for row, drawn in enumerate(job.policy.draw(opened.ids)):
            views.append(job.policy.replay(decode(opened[row // job.policy.count], 3), drawn))
    heard: dict[str, Any] = {}
    model.classifier.register_forward_pre_hook(lambda _, args: heard.update(embedding=args[0].flatten(1)))
    if point is not None:
        model.get_submodule(point).register_forward_hook(lambda _, args, output: heard.update({point: output}))
    with torch.inference_mode():
        said = model(
            processor(views, return_tensors="pt")["pixel_values"], output_hidden_states=True, output_attentions=True
        )
    return said, heard


@pytest.mark.parametrize("name", list(POINTS))
def test_every_point_equals_plain_transformers(classifier_job: MakeJob, name: str) -> None:
    job = classifier_job(name, dict.fromkeys(("logits", "embedding", *POINTS[name]), F32))
    build_cache(job)
    cache = open_cache(job.address, job.fingerprint)
    found = cache.read(np.arange(cache.rows), list(job.signals)).signals
    path = POINTS[name][-1]
    said, heard = plain(job, path if not path.startswith("qkv") else None)
    expected = {"logits": said.logits, **heard}
    for point in job.signals:
        kind, _, index = point.partition(".")
        if kind == "hidden":
            expected[point] = said.hidden_states[int(index)]
        elif kind == "attention":
            expected[point] = said.attentions[int(index)]
    assert set(expected) >= set(job.signals) - {"qkv.0"} and cache.rows == 30
    for point in expected:
        assert cache.manifest.signals[point].shape == tuple(expected[point].shape[1:])
        np.testing.assert_allclose(found[point], expected[point], atol=1e-4, rtol=1e-4, err_msg=point)


@pytest.mark.parametrize("name", ["SwinConfig", "ResNetConfig", "ConvNextConfig"])
def test_attention_that_is_none_of_a_sample_is_refused_with_the_reason(classifier_job: MakeJob, name: str) -> None:
    with pytest.raises(StageError, match="has no attention that can be heard .*one per window"):
        build_cache(classifier_job(name, {"attention.0": F32}))


def test_what_a_module_says_of_windows_is_refused_as_no_row(classifier_job: MakeJob) -> None:
    with pytest.raises(StageError, match="was heard for 3 rows, and a signal has one value per row"):
        build_cache(classifier_job("SwinConfig", {"swin.encoder.layers.0.blocks.0.attention": F32}))
