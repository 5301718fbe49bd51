"""Text encoders, text classifiers and language models: what the cache holds is what plain transformers says."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from teachercache.cache import Ragged, TokenLogits, open_cache
from teachercache.data import DataError, decode_field
from teachercache.stages.errors import StageError
from teachercache.stages.teacher.asking import ask_again
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache

FamilyJob = Callable[..., CacheJob]
F32 = {"codec": "f32"}
AUTO = {
    "bert": "AutoModel",
    "bert-classifier": "AutoModelForSequenceClassification",
    "llama": "AutoModelForCausalLM",
    "gpt2": "AutoModelForCausalLM",
}


def plain(job: CacheJob, name: str) -> list[Any]:
    """What transformers says by itself of each text alone, in eager attention: there is no padding."""
    import transformers

    model = getattr(transformers, AUTO[name]).from_pretrained(job.folder, attn_implementation="eager").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(job.folder)
    samples = [sample for shard in job.source.shards() for sample in job.source.read(shard)]
    texts = [decode_field(sample, "caption", "json")[0] for sample in samples]
    said = []
    with torch.inference_mode():
        for text in texts:
            tokens = tokenizer(text, return_tensors="pt")
            inputs = {key: tokens[key] for key in ("input_ids", "attention_mask")}
            said.append(model(**inputs, output_hidden_states=True, output_attentions=True))
    return said


def build(job: CacheJob, *names: str) -> Any:
    build_cache(job)
    cache = open_cache(job.address, job.fingerprint)
    return cache.read(np.arange(int(cache.row_counts.sum())), list(names or job.signals)).signals


def assert_rows(found: Any, expected: list[torch.Tensor], axes: tuple[int, ...], atol: float = 3e-5) -> None:
    """Each row of what was kept, cut to its length, is what was said of its text alone (1, ...)."""
    assert isinstance(found, Ragged)
    for row, said in enumerate(expected):
        assert found.lengths[row] == said.shape[axes[0] + 1]
        cut = tuple(slice(0, found.lengths[row]) if axis in axes else slice(None) for axis in range(said.ndim - 1))
        np.testing.assert_allclose(found.values[row][cut], said[0], atol=atol)


def test_every_point_of_a_text_encoder_equals_plain_transformers(family_job: FamilyJob) -> None:
    signals = {
        "embedding": F32,
        "hidden.1": F32,
        "attention.0": F32,
        "head": {"point": "attention.1", "reduce": "head-mean", "codec": "f32"},
        "mean": {"point": "hidden.-1", "reduce": "mean", "codec": "f32"},
        "encoder.layer.1.output.dense": F32,
        "qk": {"point": "attention.1", "codec": "factored"},
    }
    job = family_job("bert", signals, images=False)
    found, said = build(job), plain(job, "bert")
    np.testing.assert_allclose(found["embedding"], torch.cat([one.pooler_output for one in said]), atol=3e-5)
    assert_rows(found["hidden.1"], [one.hidden_states[1] for one in said], (0,))
    assert_rows(found["attention.0"], [one.attentions[0] for one in said], (1, 2), 1e-5)
    assert_rows(found["head"], [one.attentions[1].mean(dim=1) for one in said], (0, 1), 1e-5)
    assert_rows(found["qk"], [one.attentions[1] for one in said], (1, 2), 5e-3)
    mean = torch.cat([one.hidden_states[-1].mean(dim=1) for one in said])
    np.testing.assert_allclose(found["mean"], mean, atol=3e-5)
    lengths = [one.hidden_states[0].shape[1] for one in said]
    assert found["encoder.layer.1.output.dense"].lengths.tolist() == lengths and len(set(lengths)) > 3
    assert found["hidden.1"].values.shape[1] == 12  # what the tokenizer says, whatever the first batch's longest


def test_a_text_classifier_says_logits_and_what_enters_its_head(family_job: FamilyJob) -> None:
    signals = {"logits": F32, "embedding": F32, "hidden.-1": F32, "kept": {"point": "logits", "codec": "head"}}
    job = family_job("bert-classifier", signals)
    found, said = build(job), plain(job, "bert-classifier")
    logits = torch.cat([one.logits for one in said])
    np.testing.assert_allclose(found["logits"], logits, atol=3e-5)
    np.testing.assert_allclose(found["kept"].logits(), logits, atol=2e-2)
    assert_rows(found["hidden.-1"], [one.hidden_states[-1] for one in said], (0,))
    assert found["embedding"].shape == (10, 32)
    assert open_cache(job.address).manifest.classes == ("LABEL_0", "LABEL_1", "LABEL_2")


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_every_point_of_a_language_model_equals_plain_transformers(family_job: FamilyJob, name: str) -> None:
    signals = {
        "logits": F32,
        "hidden.-1": F32,
        "attention.1": {"codec": "f32", "causal": True},
        "next": {"point": "logits", "reduce": "last", "codec": "f32"},
    }
    job = family_job(name, signals, images=False)
    found, said = build(job), plain(job, name)
    assert_rows(found["logits"], [one.logits for one in said], (0,), 1e-4)
    assert_rows(found["hidden.-1"], [one.hidden_states[-1] for one in said], (0,), 1e-4)
    assert_rows(found["attention.1"], [one.attentions[1] for one in said], (1, 2), 1e-5)
    np.testing.assert_allclose(found["next"], torch.cat([one.logits[:, -1] for one in said]), atol=1e-4)


def test_of_the_last_token_alone_the_head_runs_on_last_tokens(
    family_job: FamilyJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = family_job(
        "llama",
        {
            "logits": {"codec": "f32", "reduce": "last"},
            "sparse": {"point": "logits", "reduce": "last", "codec": "topk", "k": 20},
            "sampled": {"point": "logits", "reduce": "last", "codec": "pps", "k": 20},
        },
    )
    widths = []
    forward = torch.nn.Linear.forward

    def counted(self: torch.nn.Linear, values: torch.Tensor) -> torch.Tensor:
        if self.out_features == 20:
            widths.append(values.shape[1])
        return forward(self, values)

    monkeypatch.setattr(torch.nn.Linear, "forward", counted)
    found = build(job)
    monkeypatch.undo()
    said = torch.cat([one.logits[:, -1] for one in plain(job, "llama")])
    np.testing.assert_allclose(found["logits"], said, atol=1e-4)
    assert max(widths) <= 4  # a batch has 4 rows, and texts of up to 10 tokens
    assert found["sparse"].ids.shape == (10, 20) and found["sampled"].ids.shape == (10, 20)


def test_a_language_model_keeps_k_logits_of_every_token(family_job: FamilyJob) -> None:
    signals: dict[str, Any] = {
        "logits": {"codec": "topk", "k": 4, "temperatures": [1.0, 2.0]},
        "sampled": {"point": "logits", "codec": "pps", "k": 4},
        "drawn": {"point": "logits", "codec": "sampling", "draws": 8},
    }
    job = family_job("llama", signals)
    found = build(job)
    said = [one.logits[0].double() for one in plain(job, "llama")]
    assert isinstance(found["logits"], TokenLogits)
    assert found["logits"].lengths.tolist() == [len(one) for one in said]
    exact, sparse = torch.cat(said), found["logits"].targets
    top = exact.topk(4, dim=-1)
    np.testing.assert_array_equal(sparse.ids, top.indices)
    np.testing.assert_allclose(sparse.values, top.values - top.values[:, :1], atol=2e-3)
    for temperature, tail in sparse.tails.items():
        rest = exact.scatter(-1, top.indices, -torch.inf) - top.values[:, :1]
        np.testing.assert_allclose(tail, (rest / temperature).logsumexp(-1), atol=1e-4)
    for name in ("sampled", "drawn"):
        assert found[name].lengths.tolist() == [len(one) for one in said]
        np.testing.assert_array_equal(found[name].targets.ids[:, 0], top.indices[:, 0])
        np.testing.assert_allclose(found[name].targets.weights[1.0].sum(-1).mean(), 1, atol=0.1)
    assert ask_again(job, 10, 0).disagreements == []


@pytest.mark.parametrize(
    ("name", "signals", "teacher", "message"),
    [
        ("llama", {"hidden.1": {"codec": "head"}}, {}, "codec head keeps the logits"),
        ("bert", {"logits": F32}, {}, "BertModel returns no logits"),
        ("bert", {"vision.hidden.1": F32}, {}, "no capture point 'vision.hidden.1'"),
        ("bert", {"encoder.layer.1.outptu": F32}, {}, "did you mean 'encoder.layer.1.output'"),
        ("bert", {"hidden.1": F32}, {"inputs": {"txt": "caption"}}, "takes text, did you mean 'text'"),
        ("bert", {"hidden.1": F32}, {"family": "causal-lm"}, "do not fit|cannot be loaded"),
        ("llama", {"embedding": F32}, {}, "no child called"),
        ("bert", {"a": {**F32, "point": "hidden.1"}, "hidden.1": F32}, {}, "hidden.1: it is heard and kept as a is"),
    ],
)
def test_what_cannot_be_heard_is_one_clear_error(
    family_job: FamilyJob, name: str, signals: dict[str, Any], teacher: dict[str, Any], message: str
) -> None:
    with pytest.raises(StageError, match=message):
        build_cache(family_job(name, signals, **teacher))


def test_a_source_without_texts_is_named(family_job: FamilyJob, captioned: Any) -> None:
    from dataclasses import replace

    from teachercache.data import SourceSpec, open_source

    job = family_job("bert", {"hidden.1": F32})
    plain_images = open_source(SourceSpec(path=str(captioned / "*.tar"), label=None))
    with pytest.raises(StageError, match="needs text, and the source has image: add the field to source.fields"):
        build_cache(replace(job, source=plain_images))


def test_a_field_that_holds_no_text_names_the_sample(family_job: FamilyJob, monkeypatch: pytest.MonkeyPatch) -> None:
    from teachercache.stages.teacher.inputs import loader

    monkeypatch.setattr(loader, "decode_field", lambda *_: [3])
    with pytest.raises(DataError, match="sample '0-0' of shard train-0: field 'caption' holds neither a text"):
        build_cache(family_job("bert", {"hidden.1": F32}))


def test_what_the_models_say_is_part_of_no_other_familys_cache(family_job: FamilyJob) -> None:
    said = {name: family_job(name, {"hidden.1": F32}).teacher_identity for name in ("bert", "llama")}
    assert said["bert"]["family"] == "text-encoder" and said["llama"]["family"] == "causal-lm"
