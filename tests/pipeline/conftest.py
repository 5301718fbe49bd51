"""A whole small run: a few shipped images, a tiny random ViT, two students, three steps."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

SAMPLES = Path(__file__).parents[2] / "data" / "samples" / "fashion-mnist"


def copy_members(source: Path, target: Path, start: int, count: int) -> None:
    """Samples start..start + count of a shipped shard that have a label."""
    with tarfile.open(source) as tar, tarfile.open(target, "w") as new:
        members = tar.getmembers()
        keys = [m.name.split(".")[0] for m in members if m.name.endswith(".cls")][start : start + count]
        for member in members:
            if member.name.split(".")[0] in keys:
                new.addfile(member, tar.extractfile(member))


@pytest.fixture(scope="session")
def small_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random ViT on 28 x 28 grey images, 10 classes."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("teacher") / "vit"
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    config = ViTConfig(image_size=28, patch_size=14, num_channels=1, num_labels=10, initializer_range=0.3, **sizes)
    ViTForImageClassification(config).save_pretrained(folder)
    processor = ViTImageProcessorPil(size={"height": 28, "width": 28}, image_mean=[0.5], image_std=[0.5])
    processor.save_pretrained(folder)
    return folder


@pytest.fixture
def make_recipe(tmp_path: Path, small_teacher: Path) -> Callable[..., Path]:
    """Write the samples and the YAML; keyword arguments replace whole sections."""

    def make(**sections: Any) -> Path:
        data = tmp_path / "data"
        if not data.exists():
            data.mkdir()
            for number in range(3):
                copy_members(SAMPLES / "train-0000.tar", data / f"train-{number}.tar", 6 * number, 6)
            copy_members(SAMPLES / "test-0000.tar", data / "test-0.tar", 0, 12)
        content: dict[str, Any] = {
            "name": "small",
            "output": str(tmp_path / "run"),
            "source": {"path": str(data / "train-*.tar")},
            "views": {"count": 2, "size": 28, "channels": 1, "operations": [{"op": "crop"}, {"op": "flip"}]},
            "teacher": {"model": str(small_teacher), "device": "cpu", "batch_size": 8, "workers": 0},
            "cache": {"block": 8, "signals": {"logits": {}, "embedding": {"codec": "int8"}, "attention.1": {}}},
            "train": {
                "steps": 3,
                "batch_size": 8,
                "seeds": [0, 1],
                "controls": ["labels-only", "shuffled-cache"],
                "labelled": {"count": 6, "per_batch": 4},
                "device": "cpu",
                "log_every": 1,
            },
            "students": [
                {
                    "name": "cnn",
                    "use": "cnn",
                    "args": {"widths": [4, 8]},
                    "objective": [
                        {"loss": "cross_entropy"},
                        {"loss": "kl", "signal": "logits"},
                        {"loss": "cosine", "output": "embedding", "signal": "embedding", "projector": "linear"},
                    ],
                },
            ],
            "evaluate": {
                "source": {"path": str(data / "test-*.tar")},
                "latency_runs": 5,
                "latency_batches": [1],
            },
        }
        file = tmp_path / "recipe.yaml"
        file.write_text(yaml.safe_dump(json.loads(json.dumps({**content, **sections}))))
        return file

    return make
