"""A run whose students are judged by retrieval and zero-shot, on two held-out sets and by prompts, from the YAML on."""

import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

WORDS = ("a", "red", "green", "blue", "white", "square", "photo", "of")
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (40, 60, 220), "white": (240, 240, 240)}
CAPTION = {"caption": {"kind": "text", "ext": ["txt"]}, "meta": {"kind": "json", "ext": ["json"]}}
TOWERS = """
import torch
from torch import nn
class Towers(nn.Module):
    def __init__(self, channels, width=16):
        super().__init__()
        self.image = nn.Linear(channels, width)
        self.text = nn.Embedding(20, width)
    def forward(self, inputs):
        tokens = self.text(inputs["input_ids"]) * inputs["attention_mask"].unsqueeze(-1)
        return {"image_embeds": self.image(inputs["pixel_values"].mean((2, 3))), "text_embeds": tokens.sum(1)}
class Fused(Towers):
    def forward(self, inputs):
        said = super().forward(inputs)
        return {**said, "text_embeds": said["text_embeds"] + said["image_embeds"]}
"""


def write_tar(path: Path, rows: Sequence[dict[str, bytes]]) -> None:
    with tarfile.open(path, "w") as tar:
        for number, row in enumerate(rows):
            for ext, data in row.items():
                member = tarfile.TarInfo(f"{path.stem}-{number:03}.{ext}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def picture(colour: str, draw: np.random.Generator) -> dict[str, bytes]:
    """A noisy square of a colour, its caption, its class, and in what set of JSON it stands."""
    pixels = np.clip(np.array(COLOURS[colour]) + draw.normal(0, 12, (16, 16, 3)), 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    number = list(COLOURS).index(colour)
    meta = json.dumps({"colour": colour}).encode()
    return {"png": out.getvalue(), "txt": f"a {colour} square".encode(), "cls": b"%d" % number, "json": meta}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random CLIP on 16 x 16 images, and a tokenizer of whole words."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("teacher") / "clip"
    small = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 16}
    text = {**small, "vocab_size": 20, "max_position_embeddings": 12, "eos_token_id": 3, "pad_token_id": 0}
    config = transformers.CLIPConfig(
        text_config=text, vision_config={**small, "image_size": 16, "patch_size": 8}, projection_dim=16
    )
    transformers.CLIPModel(config).save_pretrained(folder)
    vocabulary = {word: number for number, word in enumerate(("[PAD]", "[UNK]", "[BOS]", "[EOS]", *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "bos_token": "[BOS]", "eos_token": "[EOS]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=12, **names).save_pretrained(
        folder
    )
    size = {"height": 16, "width": 16}
    transformers.CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=size).save_pretrained(folder)
    return folder


@pytest.fixture
def recipe(tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """recipe(evaluate={...}, use=...): samples of two styles, prompts, and the YAML."""
    draw = np.random.default_rng(0)
    for name, count in (("train", 24), ("seen", 8), ("unseen", 12)):
        write_tar(tmp_path / f"{name}.tar", [picture(list(COLOURS)[i % 4], draw) for i in range(count)])
    prompts = [{"txt": f"photo of a {colour}".encode(), "cls": b"%d" % i} for i, colour in enumerate(COLOURS)]
    write_tar(tmp_path / "prompts.tar", prompts)
    (tmp_path / "two_towers_of_test.py").write_text(TOWERS)
    monkeypatch.syspath_prepend(tmp_path)

    def make(use: str = "two_towers_of_test:Towers", seeds: tuple[int, ...] = (0, 1), **evaluate: Any) -> Path:
        terms = [{"loss": "clip_fd", "output": one, "signal": one} for one in ("image_embeds", "text_embeds")]
        tokens = {"text": "caption", "tokenizer": str(teacher), "max_tokens": 12}
        inputs = {"pixel_values": {"image": {}}, "input_ids": tokens}
        student = {"use": use, "inputs": inputs}
        source = {"classes": list(COLOURS), "fields": CAPTION}
        prompts = {"path": str(tmp_path / "prompts.tar"), "image": [], "fields": {"caption": CAPTION["caption"]}}
        content = {
            "name": "colours",
            "output": str(tmp_path / "run"),
            "source": {"path": str(tmp_path / "train.tar"), **source},
            "views": {"size": 16},
            "teacher": {
                "model": str(teacher),
                "device": "cpu",
                "workers": 0,
                "inputs": {"image": "image", "text": "caption"},
            },
            "cache": {"block": 8, "signals": {"image_embeds": {}, "text_embeds": {}}},
            "train": {
                "steps": 6,
                "batch_size": 8,
                "seeds": seeds,
                "controls": ["shuffled-cache"],
                "device": "cpu",
                "log_every": 2,
            },
            "students": [
                {"name": "image-only", **student, "objective": terms[:1]},
                {"name": "both", **student, "objective": terms},
            ],
            "evaluate": {
                "sets": {name: {"path": str(tmp_path / f"{name}.tar"), **source} for name in ("seen", "unseen")},
                "prompts": {"names": prompts},
                "metrics": [
                    {"metric": "retrieval", "k": [1, 2], "group": "meta.colour"},
                    {"metric": "zero-shot", "prompts": "names"},
                ],
                "ladder": True,
                "latency_runs": 5,
                "latency_batches": [1],
                **evaluate,
            },
        }
        file = tmp_path / "recipe.yaml"
        file.write_text(yaml.safe_dump(json.loads(json.dumps(content))))
        return file

    return make


def test_students_and_teacher_are_judged_on_every_set_and_the_report_shows_it(
    recipe: Callable[..., Path], run: Callable[..., str], tmp_path: Path
) -> None:
    said = run("run", recipe())
    assert "evaluated 8 students on 8 samples and 12 samples" in said
    assert "the ladder: gain over the rung before" in said and "R@1 on every held-out set" in said
    for name in ("seen", "unseen", "names"):
        assert (tmp_path / "run" / f"cache-{name}").is_dir()
    told = json.loads((tmp_path / "run/students/both/distilled/seed-0/evaluation.json").read_text())
    assert set(told["figures"]) >= {"r1", "r2", "image_to_text_r1", "zero_shot"} and told["predictions"] is False
    assert told["samples"] == 8 and told["sets"]["unseen"]["samples"] == 12
    assert told["figures"]["r1"]["unit"] == "%" and "1" in told["latency"]
    assert set(told["sets"]["unseen"]["figures"]) == set(told["figures"])
    teacher = json.loads((tmp_path / "run/teacher/evaluation.json").read_text())
    assert teacher["figures"]["zero_shot"]["value"] is not None and "unseen" in teacher["sets"]
    assert teacher["latency"]["1"]["p50_ms"] > 0 and "unmeasured" not in teacher
    report = json.loads((tmp_path / "run/report.json").read_text())
    assert [rung["student"] for rung in report["ladder"]["rungs"]] == ["image-only", "both"]
    assert report["ladder"]["control"]["arm"] == "shuffled-cache"
    page = (tmp_path / "run/report.html").read_text()
    assert 'id="ladder"' in page and "Other held-out sets" in page and 'id="figure-reliability"' not in page
    assert '"seen"' in run("evaluate", recipe(), "--json") and "8 stood already" in run("evaluate", recipe())


def test_prompts_are_refused_for_a_text_tower_that_hangs_on_the_image(
    recipe: Callable[..., Path], run: Callable[..., str]
) -> None:
    said = run("run", recipe("two_towers_of_test:Fused", (0,)), code=2)
    assert "output 'text_embeds' hangs on pixel_values, which prompts do not have" in said


def test_a_metric_of_an_output_that_there_is_not_is_refused_before_training(
    recipe: Callable[..., Path], run: Callable[..., str]
) -> None:
    metrics = [{"metric": "retrieval", "image": "picture"}]
    assert "returns no picture" in run("check", recipe(metrics=metrics, prompts={}), code=2)


def test_check_judges_a_few_samples_before_the_run(recipe: Callable[..., Path], run: Callable[..., str]) -> None:
    assert "8 trials of 6 steps" in run("check", recipe())
    wrong = [{"metric": "retrieval", "group": "meta.shape"}]
    said = run("check", recipe(metrics=wrong, prompts={}), code=2)
    assert "field 'meta' has no 'shape', which evaluate.metrics names" in said
