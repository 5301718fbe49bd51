"""Tiny random teachers of the families that read texts, and shards of images with texts of different lengths."""

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

WORDS = ("a", "red", "green", "cat", "dog", "bird", "on", "the", "mat", "tree", "of", "photo")
TEXT = {"vocab_size": 20, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
VISION = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 32}
FIELDS = {"caption": {"kind": "json", "ext": ["json"]}}


def save_tokenizer(folder: Path, longest: int | None) -> None:
    """A tokenizer of whole words: 0 pads, 1 is unknown, 2 begins a text and 3 ends it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(("[PAD]", "[UNK]", "[BOS]", "[EOS]", *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("[BOS] $A [EOS]", None, [("[BOS]", 2), ("[EOS]", 3)])
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "bos_token": "[BOS]", "eos_token": "[EOS]"}
    limit = {} if longest is None else {"model_max_length": longest}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names, **limit).save_pretrained(folder)


def save_teacher(folder: Path, name: str) -> Path:
    """A random model of a family, with weights that make attention far from uniform."""
    import transformers

    torch.manual_seed(0)
    text = {**TEXT, "max_position_embeddings": 12, "eos_token_id": 3, "bos_token_id": 2, "pad_token_id": 0}
    vision = {**VISION, "image_size": 16, "patch_size": 8}
    towers = {"text_config": text, "vision_config": vision}
    bert = transformers.BertConfig(**text, initializer_range=0.3, num_labels=3)
    models: dict[str, Callable[[], Any]] = {
        "clip": lambda: transformers.CLIPModel(
            transformers.CLIPConfig(**towers, projection_dim=16, initializer_factor=6.0)
        ),
        "siglip": lambda: transformers.SiglipModel(
            transformers.SiglipConfig(
                text_config=text, vision_config={**vision, "hidden_size": 32, "num_attention_heads": 4}
            )
        ),
        "bert": lambda: transformers.BertModel(bert),
        "bert-classifier": lambda: transformers.BertForSequenceClassification(bert),
        "llama": lambda: transformers.LlamaForCausalLM(
            transformers.LlamaConfig(**text, num_key_value_heads=2, initializer_range=0.3)
        ),
        "gpt2": lambda: transformers.GPT2LMHeadModel(
            transformers.GPT2Config(vocab_size=20, n_positions=12, n_embd=32, n_layer=2, n_head=4, eos_token_id=3)
        ),
    }
    models[name]().save_pretrained(folder)
    save_tokenizer(folder, 12)
    if name in ("clip", "siglip"):
        processor = transformers.CLIPImageProcessorPil(
            size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}, image_mean=[0.5, 0.4, 0.3]
        )
        processor.save_pretrained(folder)
    return folder


def captions_of(number: int) -> list[str]:
    """One to three captions of two to eight words."""
    rng = np.random.default_rng(number)
    return [" ".join(rng.choice(WORDS, rng.integers(2, 9))) for _ in range(rng.integers(1, 4))]


@pytest.fixture(scope="session")
def teacher_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """teacher_folder("clip"), made once."""
    root, made = tmp_path_factory.mktemp("families"), set()

    def find(name: str) -> Path:
        if name not in made:
            made.add(name)
            save_teacher(root / name, name)
        return root / name

    return find


@pytest.fixture
def captioned(tmp_path: Path) -> Path:
    """Two shards with 7 and 3 images of 20 x 24 pixels, each with a list of captions."""
    rng, folder = np.random.default_rng(0), tmp_path / "captioned"
    folder.mkdir()
    for shard, count in enumerate((7, 3)):
        with tarfile.open(folder / f"train-{shard}.tar", "w") as tar:
            for i in range(count):
                buffer = io.BytesIO()
                Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(buffer, "PNG")
                texts = json.dumps(captions_of(10 * shard + i)).encode()
                for ext, data in (("png", buffer.getvalue()), ("json", texts)):
                    member = tarfile.TarInfo(f"{shard}-{i}.{ext}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    return folder


@pytest.fixture
def family_job(tmp_path: Path, captioned: Path, teacher_folder: Callable[[str], Path]) -> Callable[..., CacheJob]:
    """family_job("clip", signals, views={...}, images=False, **teacher): a job over `captioned`."""

    def make(
        name: str,
        signals: dict[str, dict[str, Any]],
        views: dict[str, Any] | None = None,
        images: bool = True,
        **teacher: Any,
    ) -> CacheJob:
        source = {"path": str(captioned / "*.tar"), "label": None, "fields": FIELDS}
        return CacheJob(
            root=tmp_path / "cache",
            source=open_source(SourceSpec.model_validate(source if images else {**source, "image": []})),
            policy=ViewPolicy(ViewsSpec.model_validate({"size": 16, **(views or {})})),
            keep_pixels=False,
            teacher=TeacherSpec.model_validate(
                {"model": str(teacher_folder(name)), "device": "cpu", "workers": 0, "batch_size": 4, **teacher}
            ),
            signals={signal: SignalSpec.model_validate(spec) for signal, spec in signals.items()},
            block=8,
        )

    return make
