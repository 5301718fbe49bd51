"""A run small enough for a queue of two busy cores: shards of a few grey images with four numbers each."""

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

SAMPLES = 4  # of a shard
ROWS = 2 * SAMPLES


def write_shard(path: Path, shard: int, broken: bool = False) -> None:
    """A tar shard; with `broken`, the numbers of its last sample cannot be read."""
    rng = np.random.default_rng(shard)
    with tarfile.open(path, "w") as tar:
        for number in range(SAMPLES):
            image, numbers = io.BytesIO(), io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(image, "png")
            np.save(numbers, np.array([shard, *rng.normal(size=3)], np.float32))
            data = b"broken" if broken and number == SAMPLES - 1 else numbers.getvalue()
            files = {"png": image.getvalue(), "npy": data, "cls": str(number % 3).encode()}
            for ext, content in files.items():
                member = tarfile.TarInfo(f"{path.stem}-{number}.{ext}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def write_recipe(folder: Path, data: Path, **sections: Any) -> Path:
    """A configuration whose run is `<folder>/run`; keyword arguments replace whole sections."""
    fields = {"x": {"kind": "array", "ext": ["npy"]}}
    content: dict[str, Any] = {
        "name": "batch",
        "output": str(folder / "run"),
        "source": {"path": str(data / "train-*.tar"), "fields": fields},
        "views": {"count": 2, "size": 8, "channels": 1, "operations": [{"op": "flip"}]},
        "teacher": {
            "use": "slow_teacher:slow_teacher",
            "inputs": {"x": "x"},
            "device": "cpu",
            "batch_size": 2,
            "workers": 0,
        },
        "cache": {"block": 4, "signals": {"logits": {"codec": "f32"}}},
        "train": {
            "steps": 40,
            "batch_size": 4,
            "seeds": [0, 1],
            "device": "cpu",
            "log_every": 1,
            "checkpoint_every": 10,
        },
        "students": [
            {
                "name": "slow",
                "use": "slow_student:SlowStudent",
                "objective": [{"loss": "cross_entropy"}, {"loss": "kl", "signal": "logits"}],
            }
        ],
        "evaluate": {
            "source": {"path": str(data / "test-*.tar"), "fields": fields},
            "latency_runs": 5,
            "latency_batches": [1],
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump({**content, **sections}))
    return file
