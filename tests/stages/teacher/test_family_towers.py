"""CLIP and SigLIP: what the cache holds is what plain transformers says, from the images and captions of each view."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from teachercache.cache import Ragged, open_cache
from teachercache.data import DataError, decode, decode_field
from teachercache.data.views.captions import pick_caption
from teachercache.stages.errors import StageError
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache

FamilyJob = Callable[..., CacheJob]
F32 = {"codec": "f32"}
VIEWS = {"count": 2, "operations": [{"op": "crop"}, {"op": "caption"}]}


def rows_of(job: CacheJob, shard: str) -> tuple[np.ndarray, list[str]]:
    """The views and captions of a shard's rows, by the policy alone."""
    opened, policy = job.source.open(shard), job.policy
    parameters = policy.draw(opened.ids)
    column = policy.parameters.index("1.caption.choice") if len(policy.parameters) > 1 else None
    views, texts = [], []
    for row, drawn in enumerate(parameters):
        sample = opened[row // policy.count]
        views.append(policy.replay(decode(sample, 3), drawn))
        choice = 0.0 if column is None else drawn[column]
        texts.append(pick_caption(decode_field(sample, "caption", "json"), choice))
    return np.stack(views), texts


def plain(job: CacheJob, shard: str, padding: str) -> dict[str, Any]:
    """What transformers says by itself, in eager attention."""
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    views, texts = rows_of(job, shard)
    model: Any = AutoModel.from_pretrained(job.folder, attn_implementation="eager").eval()
    pixels = AutoImageProcessor.from_pretrained(job.folder, use_fast=False)(list(views), return_tensors="pt")
    tokens = AutoTokenizer.from_pretrained(job.folder)(texts, padding=padding, max_length=12, return_tensors="pt")
    asked = {"output_hidden_states": True, "output_attentions": True}
    text = {"input_ids": tokens["input_ids"]}
    if padding == "longest":
        text["attention_mask"] = tokens["attention_mask"]
    with torch.inference_mode():
        image = model.vision_model(pixel_values=pixels["pixel_values"], **asked)
        words = model.text_model(**text, **asked)
        return {
            "image_embeds": model.get_image_features(pixels["pixel_values"]).pooler_output,
            "text_embeds": model.get_text_features(**text).pooler_output,
            "vision": image,
            "text": words,
            "lengths": tokens["attention_mask"].sum(dim=1),
            "logits": model(**text, pixel_values=pixels["pixel_values"]).logits_per_image,
        }


def assert_ragged(found: Any, expected: torch.Tensor, lengths: torch.Tensor, axes: tuple[int, ...]) -> None:
    assert isinstance(found, Ragged)
    np.testing.assert_array_equal(found.lengths, lengths)
    for row, length in enumerate(lengths.tolist()):
        cut = tuple(slice(0, length) if axis in axes else slice(None) for axis in range(expected.ndim - 1))
        np.testing.assert_allclose(found.values[row][cut], expected[row][cut], atol=2e-5)


def test_every_point_of_clip_equals_plain_transformers(family_job: FamilyJob) -> None:
    signals = {
        "image_embeds": F32,
        "text_embeds": F32,
        "vision.hidden.1": F32,
        "text.hidden.-1": F32,
        "vision.attention.0": F32,
        "text.attention.1": {"codec": "f32", "causal": True},
        "vision.qkv.1": F32,
        "text_model.encoder.layers.0.mlp": F32,
        "pooled": {"point": "text.hidden.0", "reduce": "mean", "codec": "f32"},
    }
    job = family_job("clip", signals, VIEWS)
    build_cache(job)
    cache = open_cache(job.address, job.fingerprint)
    first = 0
    for shard in cache.shards:
        says = plain(job, shard, "longest")
        rows = np.arange(first, first + len(says["lengths"]))
        found = cache.read(rows, list(signals)).signals
        for name in ("image_embeds", "text_embeds"):
            np.testing.assert_allclose(found[name], says[name], atol=2e-5)
        np.testing.assert_allclose(found["vision.hidden.1"], says["vision"].hidden_states[1], atol=2e-5)
        np.testing.assert_allclose(found["vision.attention.0"], says["vision"].attentions[0], atol=2e-6)
        assert_ragged(found["text.hidden.-1"], says["text"].hidden_states[-1], says["lengths"], (0,))
        assert_ragged(found["text.attention.1"], says["text"].attentions[1], says["lengths"], (1, 2))
        assert found["vision.qkv.1"].shape == (len(rows), 3, 3, 5, 8)
        assert found["text_model.encoder.layers.0.mlp"].lengths.tolist() == says["lengths"].tolist()
        mean = [says["text"].hidden_states[0][row, :n].mean(dim=0) for row, n in enumerate(says["lengths"])]
        np.testing.assert_allclose(found["pooled"], torch.stack(mean), atol=2e-5)
        image, text = (
            torch.nn.functional.normalize(torch.tensor(found[name]), dim=1) for name in ("image_embeds", "text_embeds")
        )
        logits = float(np.exp(cache.constant("logit_scale").item())) * image @ text.T
        torch.testing.assert_close(logits, says["logits"], atol=1e-3, rtol=1e-4)
        first += len(rows)
    assert first == 20 and len({tuple(rows_of(job, shard)[1]) for shard in cache.shards}) == 2


def test_siglip_reads_texts_of_one_length_without_a_mask(family_job: FamilyJob) -> None:
    job = family_job(
        "siglip", {"text_embeds": F32, "text.hidden.-1": F32, "image_embeds": F32, "text.attention.0": F32}
    )
    build_cache(job)
    cache = open_cache(job.address, job.fingerprint)
    says = plain(job, cache.shards[0], "max_length")
    found = cache.read(np.arange(7), list(cache.manifest.signals)).signals
    np.testing.assert_allclose(found["text_embeds"], says["text_embeds"], atol=2e-5)
    np.testing.assert_allclose(found["image_embeds"], says["image_embeds"], atol=2e-5)
    np.testing.assert_allclose(found["text.hidden.-1"], says["text"].hidden_states[-1], atol=2e-5)
    np.testing.assert_allclose(found["text.attention.0"], says["text"].attentions[0], atol=2e-6)
    assert set(cache.manifest.constants) == {"logit_scale", "logit_bias"}


def test_a_view_draws_its_caption_and_the_plain_view_has_the_first(family_job: FamilyJob) -> None:
    job = family_job(
        "clip", {"text_embeds": F32}, {"count": 8, "operations": [{"op": "caption"}]}, inputs={"text": "caption"}
    )
    build_cache(job)
    cache = open_cache(job.address, job.fingerprint)
    embeds = cache.read(np.arange(80), ["text_embeds"]).signals["text_embeds"].reshape(10, 8, -1)
    kinds = []
    for sample, shard in enumerate(["train-0"] * 7 + ["train-1"] * 3):
        opened = job.source.open(shard)
        texts = decode_field(opened[sample if shard == "train-0" else sample - 7], "caption", "json")
        kinds.append((len({row.tobytes() for row in embeds[sample].round(4)}), len(set(texts))))
    assert all(seen <= there for seen, there in kinds) and any(seen == there > 1 for seen, there in kinds)


@pytest.mark.parametrize(
    ("signals", "teacher", "message"),
    [
        ({"logits": F32}, {}, "compare the samples of one batch"),
        ({"hidden.1": F32}, {}, "did you mean .*vision.hidden.-1|parts are vision, text"),
        ({"vision.hidden.9": F32}, {}, "no hidden.9"),
        ({"vision_model.encodr": F32}, {}, "no capture point 'encodr'"),
        ({"text_embeds": F32}, {"inputs": {"image": "image"}}, "the text tower is asked for.*gives no text"),
        ({"text_embeds": F32}, {"inputs": {"text": "captoin"}}, "no field 'captoin', did you mean 'caption'"),
        ({"text_embeds": F32}, {"inputs": {"texts": "caption"}}, "takes image, text, did you mean 'text'"),
        ({"text_embeds": F32}, {"inputs": {"text": "image"}}, "is of kind image, and text takes text or json"),
        ({"text_embeds": F32}, {"max_tokens": 13}, "takes 12 tokens at most"),
    ],
)
def test_what_cannot_be_heard_is_one_clear_error(
    family_job: FamilyJob, signals: dict[str, Any], teacher: dict[str, Any], message: str
) -> None:
    with pytest.raises(StageError, match=message):
        build_cache(family_job("clip", signals, **teacher))


def test_a_text_that_is_too_long_is_named_or_cut_when_asked(family_job: FamilyJob) -> None:
    with pytest.raises(DataError, match=r"sample '0-\d' of shard train-0: its text has \d+ tokens, and 4 are the most"):
        build_cache(family_job("clip", {"text_embeds": F32}, max_tokens=4))
    job = family_job("clip", {"text.hidden.-1": F32}, max_tokens=4, truncate=True)
    build_cache(job)
    found = open_cache(job.address, job.fingerprint).read(np.arange(10), ["text.hidden.-1"]).signals["text.hidden.-1"]
    assert found.values.shape == (10, 4, 32) and found.lengths.max() == 4


def test_tokenizer_and_inputs_are_part_of_the_fingerprint(family_job: FamilyJob) -> None:
    signals = {"text_embeds": F32}
    first = family_job("clip", signals)
    for changes in ({"max_tokens": 11}, {"truncate": True}, {"inputs": {"text": "caption"}}):
        assert family_job("clip", signals, **changes).teacher_identity != first.teacher_identity
    file = first.folder / "tokenizer_config.json"
    before = file.read_bytes()
    try:
        file.write_bytes(before.replace(b"{", b'{"padding_side": "right",', 1))
        assert family_job("clip", signals).teacher_identity != first.teacher_identity
    finally:
        file.write_bytes(before)
