"""The teacher's figures come from the cache, and are those of the teacher."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from teachercache.cache import SparseLogits
from teachercache.data import ViewsSpec
from teachercache.stages.deploy.evaluation.evaluate_teacher import evaluate_teacher
from teachercache.stages.deploy.evaluation.held_out import HeldOut
from teachercache.stages.deploy.evaluation.held_out_sets import HeldOutSets
from teachercache.stages.deploy.evaluation.predictions import teacher_predictions
from teachercache.stages.deploy.evaluation.spec import EvaluateSpec
from teachercache.stages.deploy.metrics.classification import figures
from teachercache.stages.teacher.spec import TeacherSpec

CPU = torch.device("cpu")
VIEWS = ViewsSpec(size=16, channels=3)


def settings(folder: Path) -> dict[str, Any]:
    return TeacherSpec(model=str(folder), device="cpu").model_dump(mode="json")


def read(folder: Path) -> dict[str, Any]:
    content = json.loads((folder / "evaluation.json").read_text())
    assert isinstance(content, dict)
    return content


@pytest.fixture(scope="module")
def evaluated(
    tmp_path_factory: pytest.TempPathFactory, held_out: HeldOut, spec: EvaluateSpec, teacher_folder: Path
) -> Path:
    folder = tmp_path_factory.mktemp("run") / "teacher"
    assert evaluate_teacher(folder, HeldOutSets.of(held_out), settings(teacher_folder), VIEWS, spec, CPU)
    return folder


def test_figures_from_the_cache_are_those_of_the_teacher_run_again(
    evaluated: Path, held_out: HeldOut, teacher_folder: Path
) -> None:
    from transformers import ViTForImageClassification

    model = ViTForImageClassification.from_pretrained(teacher_folder).eval()
    (batch,) = held_out.batches(100)
    mean, std = torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1), 0.5
    with torch.no_grad():
        logits = model((held_out.views(batch).permute(0, 3, 1, 2) / 255 - mean) / std).logits
    content, log_p = read(evaluated), logits.double().log_softmax(-1)
    assert content["samples"] == 10
    assert content["top1"] == pytest.approx(float((logits.argmax(-1) == batch.labels).double().mean()))
    assert content["nll"] == pytest.approx(float(-log_p[torch.arange(10), batch.labels].mean()), abs=1e-5)
    assert (content["agreement"], content["kl"]) == (1.0, pytest.approx(0.0, abs=1e-12))
    with np.load(evaluated / "predictions.npz", allow_pickle=False) as stored:
        assert stored["top3"].tolist() == logits.topk(3).indices.tolist()
        assert stored["top3_probability"] == pytest.approx(log_p.exp().topk(3).values.numpy(), abs=1e-5)


def test_the_teacher_is_measured_and_sized(evaluated: Path, held_out: HeldOut) -> None:
    content, facts = read(evaluated), held_out.cache.manifest.teacher
    embeddings = (3 * 64 + 1) * 24 + 5 * 24 + 24
    assert content["parameters"] == {
        "total": facts["parameters"],
        "without_embeddings": facts["parameters"] - embeddings,
    }
    assert content["bytes"] == facts["bytes"] == 4 * facts["parameters"]
    assert set(content["latency"]) == {"1", "3"} and content["latency"]["1"]["p50_ms"] > 0
    assert content["class"] == "ViTForImageClassification"
    assert "unmeasured" not in content


def test_nothing_is_done_twice(evaluated: Path, held_out: HeldOut, spec: EvaluateSpec, teacher_folder: Path) -> None:
    before = (evaluated / "evaluation.json").stat().st_mtime_ns
    assert not evaluate_teacher(evaluated, HeldOutSets.of(held_out), settings(teacher_folder), VIEWS, spec, CPU)
    assert (evaluated / "evaluation.json").stat().st_mtime_ns == before


def test_a_teacher_that_has_not_travelled_with_its_cache_keeps_its_figures(
    evaluated: Path, held_out: HeldOut, spec: EvaluateSpec, tmp_path: Path
) -> None:
    absent = settings(tmp_path / "absent")
    assert evaluate_teacher(tmp_path / "teacher", HeldOutSets.of(held_out), absent, VIEWS, spec, CPU)
    found, measured = read(tmp_path / "teacher"), read(evaluated)
    assert found["unmeasured"].startswith("teacher cannot be measured: teacher.model:")
    assert (found["latency"], found["peak_memory_mb"]) == ({}, None)
    assert found["parameters"]["total"] == measured["parameters"]["total"]
    for name in ("samples", "top1", "top5", "nll", "ece", "per_class", "reliability", "confusion"):
        assert found[name] == measured[name], name


def test_figures_from_kept_logits_are_those_they_determine(
    evaluated: Path, make_held_out: Callable[..., HeldOut]
) -> None:
    kept = make_held_out(signal="top")
    (batch,) = kept.batches(100)
    assert isinstance(batch.signals["top"], SparseLogits)
    found = figures(teacher_predictions(batch.ids, batch.labels, batch.signals["top"]), kept.class_names)
    dense = read(evaluated)
    assert found["top1"] == dense["top1"] and found["ece"] == pytest.approx(dense["ece"], abs=1e-2)
    assert (found["top5"], found["nll"]) == (None, None)  # three of seven logits are kept


def test_evaluation_imports_nothing_of_the_teachers_side() -> None:
    code = (
        "import sys, teachercache.stages.deploy.measuring.measure_child\n"
        "from teachercache.stages.deploy.evaluation import evaluate, evaluate_teacher\n"
        "print([name for name in sys.modules if name.startswith('teachercache.stages.teacher')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


@pytest.mark.parametrize(
    ("kind", "longest"), [("BertForSequenceClassification", 7), ("LlamaForCausalLM", None), ("BertModel", None)]
)
def test_a_teacher_that_reads_texts_is_measured_on_texts_of_its_longest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, longest: int | None
) -> None:
    from teachercache.stages.deploy.measuring import measure_child

    folder = save_reader(tmp_path / "reader", kind)
    teacher = TeacherSpec(model=str(folder), device="cpu", max_tokens=longest).model_dump(mode="json")
    request = {"teacher": teacher, "view": [16, 3], "device": "cpu", "batches": [2], "runs": 5, "threads": 1}
    given: list[tuple[int, ...]] = []
    timed = measure_child._timed
    monkeypatch.setattr(
        measure_child,
        "_timed",
        lambda subject, *rest: (given.append(tuple(subject.inputs(2)["input_ids"].shape)), timed(subject, *rest))[1],
    )
    found = measure_child.measure({**request, "kind": "teacher"})
    assert given == [(2, longest or 12)]
    assert found["latency"]["2"]["p50_ms"] > 0 and found["bytes"] == 4 * found["parameters"]["total"] > 0


def save_reader(folder: Path, kind: str) -> Path:
    """A tiny random model that reads texts, with its tokenizer."""
    import transformers
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = getattr(transformers, f"{kind[: 5 if kind.startswith('Llama') else 4]}Config")
    model = getattr(transformers, kind)(config(vocab_size=9, max_position_embeddings=12, pad_token_id=0, **sizes))
    model.save_pretrained(folder)
    words = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "a": 2}, unk_token="[UNK]"))
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(folder)
    return folder
