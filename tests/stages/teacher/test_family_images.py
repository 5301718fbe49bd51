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
from teachercache.stages.student.stream.join import Join
from teachercache.stages.teacher.inputs.preprocessing import Preprocessor
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
        "SwinConfig": {"image_size": SIDE, "patch_size": 2, "embed_dim": 8, "depths": [2, 2], "num_heads": [2, 2]}
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


@pytest.mark.parametrize("name", ["ResNetConfig", "ConvNextConfig"])
def test_attention_that_is_none_of_a_sample_is_refused_with_the_reason(classifier_job: MakeJob, name: str) -> None:
    with pytest.raises(StageError, match="has no attention that can be heard"):
        build_cache(classifier_job(name, {"attention.0": F32}))


def test_swin_keeps_the_windows_of_a_sample_beside_its_heads(classifier_job: MakeJob) -> None:
    from transformers import AutoModelForImageClassification

    layers = [f"{kind}.{layer}" for kind in ("attention", "qkv") for layer in range(4)]
    job = classifier_job("SwinConfig", {**dict.fromkeys(layers, F32), "attention.-1": {"codec": "u8sqrt"}})
    build_cache(job)
    cache = open_cache(job.address, job.fingerprint)
    found = cache.read(np.arange(cache.rows), list(job.signals)).signals
    model = AutoModelForImageClassification.from_pretrained(job.folder, attn_implementation="eager").eval()
    said: list[torch.Tensor] = []
    sides: list[torch.Tensor] = []
    for module in model.modules():
        if type(module).__name__ == "SwinAttention":
            module.register_forward_hook(lambda _, args, output: said.append(output[1]))
            for side in (module.q_proj, module.k_proj, module.v_proj):
                side.register_forward_hook(lambda _, args, output: sides.append(output))
    prepare = Preprocessor(job.folder, job.policy.size, job.policy.channels)
    views = Join(cache, job.source, job.policy).views(np.arange(cache.rows))
    with torch.inference_mode():
        model(**prepare(views))
    for layer, maps in enumerate(said):
        windows, heads = len(maps) // cache.rows, maps.shape[1]
        kept = found[f"attention.{layer}"].reshape(cache.rows, windows, heads, *maps.shape[2:])
        assert windows == (4 if layer < 2 else 1)
        heads_apart = (each.unflatten(-1, (heads, -1)).transpose(1, 2) for each in sides[3 * layer : 3 * layer + 3])
        stacked = torch.stack([*heads_apart], dim=1)  # (rows x windows, 3, heads, T, d)
        for row in range(cache.rows):
            mine = slice(row * windows, (row + 1) * windows)
            np.testing.assert_allclose(kept[row], maps[mine], atol=1e-5)
            expected = torch.cat(list(stacked[mine]), dim=1)
            np.testing.assert_allclose(found[f"qkv.{layer}"][row], expected, atol=1e-5)
    # the second block of the first stage is shifted: tokens of a window that are no neighbours do not see each other
    assert [bool((maps < 1e-30).any()) for maps in said] == [False, True, False, False]
    np.testing.assert_allclose(found["attention.-1"], found["attention.3"], atol=1 / 255)


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        ({"attention.4": F32}, r"has no attention\.4"),
        ({"attention.0": {"codec": "factored"}}, "queries and keys do not say: keep it with u8sqrt, not factored"),
    ],
)
def test_what_windows_do_not_say_is_refused(classifier_job: MakeJob, signal: dict[str, Any], message: str) -> None:
    with pytest.raises(StageError, match=message):
        build_cache(classifier_job("SwinConfig", signal))


def test_what_a_module_says_of_windows_is_refused_as_no_row(classifier_job: MakeJob) -> None:
    with pytest.raises(StageError, match="was heard for 3 rows, and a signal has one value per row"):
        build_cache(classifier_job("SwinConfig", {"swin.encoder.layers.0.blocks.0.attention": F32}))
