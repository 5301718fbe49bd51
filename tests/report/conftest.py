"""A run's folder as the other stages leave it: real caches and images, and evaluations whose figures a test chooses."""

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from teachercache.cache import Cache, Manifest, RowIndex, SignalSchema, create_cache, open_cache
from teachercache.data import ViewPolicy, open_source
from teachercache.data.spec import SourceSpec, ViewsSpec
from teachercache.pipeline.config import Config
from teachercache.stages.student.stream.join import Join

CLASSES = ("bag", "boot", "coat")
TOP1 = {  # hand-made: gains of 0.05, 0.06 and 0.04, and a control that loses 0.10 each time
    "labels-only": (0.70, 0.71, 0.69),
    "distilled": (0.75, 0.77, 0.73),
    "shuffled-cache": (0.60, 0.61, 0.59),
}
PARAMETERS = {"teacher": (200_000, 180_000), "student": (10_000, 9_000)}


def write_images(path: Path, samples: int, prefix: str, side: int = 8) -> None:
    """A webdataset shard of noise; sample i has label i % 3."""
    random = np.random.default_rng(samples)
    with tarfile.open(path, "w") as tar:
        for i in range(samples):
            out = io.BytesIO()
            Image.fromarray(random.integers(0, 256, (side, side), np.uint8)).save(out, "PNG")
            for name, data in ((f"{prefix}-{i:03}.png", out.getvalue()), (f"{prefix}-{i:03}.cls", b"%d" % (i % 3))):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def build_cache(root: Path, spec: SourceSpec, views: int, classes: tuple[str, ...], cost: Mapping[str, float]) -> Cache:
    """A cache of random logits over a source, by the cache's own writer; each shard's receipt carries `cost`."""
    source, random = open_source(spec), np.random.default_rng(0)
    schema = SignalSchema("logits", "f16", {}, (len(classes),), "logits", "none", {"max_abs": 0.001})
    teacher = {"model": "teacher", "class": "ViTForImageClassification", "parameters": 200_000, "bytes": 800_000}
    shards = tuple(source.shards())
    manifest = Manifest({"teacher": "t"}, {"logits": schema}, shards, views, 4, (), classes, teacher, {"torch": "2"})
    cache = create_cache(root, manifest)
    for shard in shards:
        opened, writer = source.open(shard), cache.writer(shard)
        rows = len(opened) * views
        writer.append({"logits": {"values": random.normal(size=(rows, len(classes))).astype(np.float16)}})
        numbers = np.tile(np.arange(views, dtype=np.uint16), len(opened))
        index = RowIndex(
            np.repeat(np.asarray(opened.ids, np.str_), views),
            numbers,
            np.repeat(opened.labels, views),
            np.zeros((rows, 0)),
        )
        writer.seal(index, cost=cost, error={"logits": {"max_abs": 0.002}})
    return open_cache(root)


def evaluation(top1: float, parameters: tuple[int, int], classes: tuple[str, ...], samples: int) -> dict[str, Any]:
    """An evaluation.json whose other figures follow from `top1`."""
    return {
        "samples": samples,
        "top1": top1,
        "top5": 1.0,
        "nll": 2 - 2 * top1,
        "ece": 0.05,
        "agreement": top1 + 0.1,
        "kl": 1 - top1,
        "per_class": [{"class": name, "samples": 4, "top1": top1 - 0.01 * i} for i, name in enumerate(classes)],
        "reliability": [
            {"confidence": 0.5, "accuracy": 0.4, "share": 0.25},
            {"confidence": 0.9, "accuracy": top1, "share": 0.75},
        ],
        "parameters": {"total": parameters[0], "without_embeddings": parameters[1]},
        "bytes": 4 * parameters[0],
        "latency": {
            "1": {"p50_ms": 1.0, "p95_ms": 2.0, "samples_per_second": 1000.0},
            "32": {"p50_ms": 8.0, "p95_ms": 9.0, "samples_per_second": 4000.0},
        },
        "peak_memory_mb": 120.0,
        "machine": {"device": "cpu", "threads": 2, "torch": "2"},
    }


@dataclass
class Run:
    """A run's folder that a test may change before it asks for the report."""

    config: Config
    cache: Cache
    held_out: Cache
    images: Join
    classes: tuple[str, ...] = field(default=CLASSES)

    def folder(self, arm: str, seed: int, student: str = "cnn") -> Path:
        return self.config.run / "students" / student / arm / f"seed-{seed}"

    def write_trial(self, arm: str, seed: int, top1: float, student: str = "cnn") -> None:
        folder = self.folder(arm, seed, student)
        samples = self.held_out.rows
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "student.json").write_text("{}")
        records: list[dict[str, Any]] = [
            {
                "step": step,
                "loss": 3.0 / step + 0.1 * seed,
                "terms": {},
                "lr": 0.1,
                "grad_norm": 1.0,
                "seconds": 0.5 * step,
            }
            for step in (1, 2, 4)
        ]
        (folder / "history.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        self.write_evaluation(folder, evaluation(top1, PARAMETERS["student"], self.classes, samples), seed + 1)

    def write_evaluation(self, folder: Path, content: Mapping[str, Any], roll: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "evaluation.json").write_text(json.dumps(content))
        shards = [self.held_out.reader(shard) for shard in self.held_out.shards]
        ids, labels = (
            np.concatenate(column) for column in zip(*((one.ids, one.labels) for one in shards), strict=True)
        )
        top = (labels[:, None] + np.arange(3) + roll * (np.arange(len(ids))[:, None] % 2)) % len(self.classes)
        probability = np.tile(np.array([0.7, 0.2, 0.1], np.float32), (len(ids), 1))
        np.savez(folder / "predictions.npz", ids=ids, labels=labels, top3=top, top3_probability=probability)


MakeRun = Callable[..., Run]


def make_config(root: Path, changes: Mapping[str, Any]) -> Config:
    student = {
        "name": "cnn",
        "use": "cnn",
        "objective": [{"loss": "cross_entropy"}, {"loss": "kl", "signal": "logits"}],
    }
    content: dict[str, Any] = {
        "name": "trial run",
        "output": str(root / "run"),
        "source": {"path": str(root / "train-*.tar")},
        "views": {"count": 2, "size": 8, "channels": 1},
        "teacher": {"model": "teacher"},
        "cache": {"signals": {"logits": {"codec": "f16"}}},
        "train": {"steps": 4, "batch_size": 10, "seeds": [0, 1, 2], "controls": ["labels-only", "shuffled-cache"]},
        "students": [student],
        "evaluate": {"source": {"path": str(root / "test-*.tar")}},
    }
    return Config.model_validate(content | dict(changes))


def make_run_at(
    root: Path,
    top1: Mapping[str, tuple[float, ...]] = TOP1,
    classes: tuple[str, ...] = CLASSES,
    side: int = 8,
    **changes: Any,
) -> Run:
    """A run below `root`: top-1 of each arm, one value per seed; class names; changes of the configuration."""
    for name, samples in (("train-0", 20), ("train-1", 15), ("test-0", 12)):
        write_images(root / f"{name}.tar", samples, name.replace("-0", "").replace("-1", "-more"), side)
    config = make_config(root, changes)
    cost = {"teacher_seconds": 3.5, "seconds": 5.0}
    cache = build_cache(config.cache_path, config.source, 2, classes, cost)
    source = next(iter(config.evaluate.named_sets.values()))
    held_out = build_cache(config.held_out_path, source, 1, classes, cost)
    policy = ViewPolicy(ViewsSpec(count=1, size=side, channels=1))
    run = Run(config, cache, held_out, Join(held_out, open_source(source), policy), classes)
    run.write_evaluation(config.run / "teacher", evaluation(0.8, PARAMETERS["teacher"], classes, held_out.rows), 0)
    for arm, values in top1.items():
        for seed, value in enumerate(values):
            run.write_trial(arm, seed, value)
    return run


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """make_run(top1={arm: values}, classes=..., **changes): a run below the test's own folder."""
    return partial(make_run_at, tmp_path)


@pytest.fixture(scope="session")
def make_run_in() -> MakeRun:
    """make_run_in(folder, ...): the same below a folder that several tests share."""
    return make_run_at
