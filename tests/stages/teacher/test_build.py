"""Phase one end to end: what the cache holds is what plain transformers says, and nothing is done twice."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from teachercache.cache import CacheError, StaleCacheError, open_cache
from teachercache.data import decode
from teachercache.stages.errors import Interrupted, StageError, StageFailed
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache

MakeJob = Callable[..., CacheJob]


def plain_outputs(job: CacheJob, shard: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What transformers says by itself about every row of a shard, in eager attention, and the views."""
    from transformers import AutoImageProcessor, ViTForImageClassification

    model = ViTForImageClassification.from_pretrained(job.folder, attn_implementation="eager").eval()
    processor = AutoImageProcessor.from_pretrained(job.folder, use_fast=False)
    opened = job.source.open(shard)
    parameters = job.policy.draw(opened.ids)
    images = [decode(opened[i // job.policy.count], 3) for i in range(len(opened) * job.policy.count)]
    views = np.stack([job.policy.replay(image, row) for image, row in zip(images, parameters, strict=True)])
    with torch.inference_mode():
        out = model(**processor(list(views), return_tensors="pt"), output_attentions=True, output_hidden_states=True)
        pooled = model.vit.layernorm(out.hidden_states[-1])[:, 0]
    heard = {
        "logits": out.logits,
        "embedding": pooled,
        "hidden.1": out.hidden_states[1],
        "attention.-1": out.attentions[-1],
        "attention.0": out.attentions[0].mean(dim=1),
    }
    return {name: value.numpy() for name, value in heard.items()}, views


@pytest.mark.parametrize("workers", [0, 2])
def test_every_cached_value_equals_plain_transformers(make_job: MakeJob, workers: int) -> None:
    job = make_job(workers=workers, keep_pixels=True)
    summary = build_cache(job)
    assert (summary.shards, summary.rows) == (3, 30)
    cache = open_cache(job.root, job.fingerprint)
    for shard in cache.shards:
        expected, views = plain_outputs(job, shard)
        reader = cache.reader(shard)
        rows = np.arange(len(reader))
        for name, value in expected.items():
            decoded = cache.codec(name).decode(reader.read(name, rows), cache.manifest.signals[name].shape)
            np.testing.assert_allclose(decoded, value, atol=5e-3 if name == "attention.0" else 2e-5)
        np.testing.assert_array_equal(reader.read("pixels", rows)["values"], views)
        top = cache.codec("top").decode(reader.read("top", rows), (5,))
        np.testing.assert_array_equal(top.ids, np.argsort(-expected["logits"], axis=1)[:, :3])


def test_the_row_index_holds_ids_views_labels_and_parameters(make_job: MakeJob) -> None:
    job = make_job()
    build_cache(job)
    index = open_cache(job.root).reader("train-0").index
    assert index.ids.tolist() == [f"0-{i // 3}" for i in range(15)]
    assert index.views.tolist() == [0, 1, 2] * 5
    assert index.labels.tolist() == [i // 3 for i in range(15)]
    np.testing.assert_array_equal(index.parameters, job.policy.draw([f"0-{i}" for i in range(5)]))


def test_a_second_build_does_nothing_and_a_lost_shard_is_made_again_alone(make_job: MakeJob) -> None:
    job = make_job()
    build_cache(job)
    before = {path: path.stat().st_mtime_ns for path in job.root.rglob("*") if path.is_file()}
    assert build_cache(job).shards == 0
    assert {path: path.stat().st_mtime_ns for path in job.root.rglob("*") if path.is_file()} == before
    (job.root / "receipts" / "train-1.json").unlink()
    summary = build_cache(job)
    assert (summary.shards, summary.rows, summary.standing) == (1, 3, 2)
    assert open_cache(job.root).missing() == ()


def test_the_same_cache_comes_out_whatever_the_batch_size(make_job: MakeJob, tmp_path: Path) -> None:
    caches = []
    for size in (1, 64):
        job = make_job(batch_size=size, root=tmp_path / f"c{size}")
        build_cache(job)
        caches.append(open_cache(job.root))
    rows = np.arange(30)
    ours, theirs = (cache.read(rows, ["logits", "attention.-1"]).signals for cache in caches)
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-5)


def test_an_interrupted_build_keeps_whole_shards_and_continues(make_job: MakeJob) -> None:
    job = make_job()
    asked = iter([True])
    with pytest.raises(Interrupted, match=r"with 0 of 3 shards whole \(no row is kept\) in .*continues with the first"):
        build_cache(job, stop=lambda: next(asked))
    asked = iter([False, False, False, True])
    with pytest.raises(Interrupted, match="; the same command continues with the others") as stopped:
        build_cache(job, stop=lambda: next(asked))
    left, cache = [path.name for path in (job.root / "shards").iterdir() if path.is_dir()], open_cache(job.root)
    assert 0 < len(left) == len(cache.shards) < 3
    assert f"stopped with {len(left)} of 3 shards whole ({cache.rows} rows kept)" in str(stopped.value)
    build_cache(job)
    assert open_cache(job.root).missing() == ()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"dtype": "bfloat16"}, "teacher.dtype"),
        ({"views": {"count": 2, "size": 16}}, "views.count"),
        ({"signals": {"logits": {"codec": "f16"}}}, "signals.logits.codec"),
    ],
)
def test_a_cache_of_other_settings_is_refused_naming_the_field(
    make_job: MakeJob, change: dict[str, object], field: str
) -> None:
    build_cache(make_job())
    with pytest.raises(StaleCacheError, match=field):
        build_cache(make_job(**change))


def test_a_cache_of_other_weights_is_refused(make_job: MakeJob, tiny_vit: Path, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    build_cache(make_job())
    other = tmp_path / "other"
    shutil.copytree(tiny_vit, other)
    weights = load_file(other / "model.safetensors")
    weights["classifier.bias"][0] += 1e-3
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    with pytest.raises(StaleCacheError, match="teacher.weights"):
        build_cache(make_job(model=str(other)))


def test_nan_in_a_signal_names_signal_shard_and_sample(make_job: MakeJob, tiny_vit: Path, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(tiny_vit, broken)
    weights = load_file(broken / "model.safetensors")
    weights["classifier.bias"][0] = float("nan")
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    job = make_job(model=str(broken))
    with pytest.raises(
        StageFailed, match=r"signal (logits|top) is NaN or infinite for sample '0-0' \(view 0\) of shard"
    ):
        build_cache(job)
    assert not (job.root / "manifest.json").exists()


def test_missing_weights_are_an_error_and_not_a_warning(make_job: MakeJob, tiny_vit: Path, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(tiny_vit, broken)
    weights = load_file(broken / "model.safetensors")
    del weights["classifier.bias"]
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(StageError, match="missing keys classifier.bias"):
        build_cache(make_job(model=str(broken)))


def test_weights_that_the_configuration_does_not_know_or_has_in_another_shape_are_an_error(
    make_job: MakeJob, tiny_vit: Path, tmp_path: Path
) -> None:
    import json
    import shutil

    import torch
    from safetensors.torch import load_file, save_file

    more, wider = tmp_path / "more", tmp_path / "wider"
    for folder in (more, wider):
        shutil.copytree(tiny_vit, folder)
    weights = load_file(more / "model.safetensors")
    save_file({**weights, "classifier.more": torch.zeros(2)}, more / "model.safetensors", {"format": "pt"})
    with pytest.raises(StageError, match="unexpected keys classifier.more"):
        build_cache(make_job(model=str(more)))
    config = json.loads((wider / "config.json").read_text())
    (wider / "config.json").write_text(json.dumps({**config, "intermediate_size": 64}))
    with pytest.raises(StageError, match=f"{wider} (cannot be loaded|do not fit)"):
        build_cache(make_job(model=str(wider)))


@pytest.mark.parametrize(
    ("size", "mean", "message"),
    [(32, [0.5, 0.5, 0.5], "refuses what its processor has made.*32"), (16, [0.5], "of 1 channel")],
)
def test_a_processor_of_another_model_is_one_error(
    make_job: MakeJob, tiny_vit: Path, tmp_path: Path, size: int, mean: list[float], message: str
) -> None:
    import json
    import shutil

    other = tmp_path / "other"
    shutil.copytree(tiny_vit, other)
    settings = json.loads((other / "preprocessor_config.json").read_text())
    settings |= {"size": {"height": size, "width": size}, "image_mean": mean, "image_std": [0.5] * len(mean)}
    (other / "preprocessor_config.json").write_text(json.dumps(settings))
    with pytest.raises(StageError, match=message):
        build_cache(make_job(model=str(other)))


@pytest.mark.parametrize(
    ("signals", "message"),
    [
        ({"hiden.1": {}}, "hiden.1"),
        ({"attention.7": {}}, "attention.7"),
        ({"top": {"point": "logits", "codec": "topk", "k": 50}}, "at least 50"),
        ({"logits": {"reduce": "cls"}}, "reduce: cls takes"),
        ({"pixels": {"point": "logits"}}, "kept for views.keep_pixels"),
    ],
)
def test_a_signal_that_cannot_be_heard_is_named(
    make_job: MakeJob, signals: dict[str, dict[str, object]], message: str
) -> None:
    with pytest.raises((StageError, CacheError), match=message):
        build_cache(make_job(signals=signals))


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ({"model": "nobody/nothing"}, "set teacher.revision"),
        ({"model": "nobody/nothing", "revision": "0" * 40}, "nothing at revision 0{40} cannot be had from the hub"),
        ({"device": "cuda:99"}, "cannot be used here"),
    ],
)
def test_a_teacher_that_cannot_be_had_is_named(make_job: MakeJob, teacher: dict[str, str], message: str) -> None:
    with pytest.raises(StageError, match=message):
        build_cache(make_job(**teacher))


def test_a_teacher_in_training_mode_is_refused(make_job: MakeJob) -> None:
    from teachercache.stages.teacher.families.image_classifier import ImageClassifier

    job = make_job()
    teacher = ImageClassifier(job.teacher, job.folder, job.signals, torch.device("cpu"))
    teacher.model.train()
    with pytest.raises(StageError, match="training mode"):
        teacher({"pixel_values": torch.zeros(1, 3, 16, 16)})
    teacher.close()


@pytest.mark.parametrize("begun", [0, 1])
def test_a_shard_that_another_builder_finished_first_is_not_counted(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, begun: int
) -> None:
    monkeypatch.setattr("teachercache.stages.teacher.running.run.piece_samples", lambda job, rows: 1)
    job, others, calls = make_job(), [], iter(range(1000))

    def stop() -> bool:
        if next(calls) == begun:  # the other builder takes every shard before, or after, the first piece is heard
            others.append(build_cache(job).shards)
        return False

    summary = build_cache(job, stop=stop)
    assert others == [len(job.source.shards())]
    assert (summary.shards, summary.rows) == (0, 0) and set(summary.lost) == set(job.source.shards())
    assert open_cache(job.root).missing() == ()
