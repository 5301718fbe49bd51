"""bench-model measures in a process of its own, holds variants against their float parent, and the report has it."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asked_models import write_onnx
from PIL import Image
from rich.console import Console

from teachercache.pipeline.report.figures.bench import marker
from teachercache.pipeline.using.benching import bench_table
from teachercache.stages.deploy.bench.bench import bench_models
from teachercache.stages.deploy.bench.judging import accuracy, agreement, flips
from teachercache.stages.deploy.bench.labelled import read_labelled
from teachercache.stages.deploy.bench.spec import BenchSpec
from teachercache.stages.deploy.export.targets.target import TARGETS
from teachercache.stages.errors import StageError, StageFailed

WEIGHT = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
QUICK = BenchSpec(batches=(1, 3), runs=5)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Eight pictures in each of three class folders."""
    rng = np.random.default_rng(1)
    for label in "abc":
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(8):
            pixels = rng.integers(0, 256, (4, 4), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{number}.png")
    return tmp_path / "photos"


def test_flips_are_counted_at_the_parents_thresholds() -> None:
    labels = np.array([0, 1, 1, 1])
    parent = np.log(np.array([[0.6, 0.4], [0.3, 0.7], [0.2, 0.8], [0.1, 0.9]]))
    moved = np.log(np.array([[0.6, 0.4], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9]]))
    assert flips(parent, parent, labels, 0.0) == 0
    # thresholds: class 0 at .3, the most of its negatives; class 1 at .4. Row 1 was at .3 and .7, and is at .8 and .2
    assert flips(moved, parent, labels, 0.0) == pytest.approx(1 / 8)
    assert agreement(moved, parent) == 0.75
    assert accuracy(parent, labels) == 1.0 and accuracy(moved, labels) == 0.75


def test_variants_are_held_against_their_float_parent(tmp_path: Path, photos: Path) -> None:
    pytest.importorskip("onnxruntime")
    whole = write_onnx(tmp_path / "float", WEIGHT)
    rounded = write_onnx(tmp_path / "int8", np.round(WEIGHT), precision="int8")
    about = json.loads((rounded / "export.json").read_text())
    (rounded / "export.json").write_text(json.dumps({**about, "quantisation": {"simulation_agreement": 0.997}}))
    labelled = read_labelled(str(photos))
    found = bench_models([whole, rounded], QUICK, labelled)
    first, second = found["models"]
    assert "simulation" not in first and second["simulation"] == 0.997
    assert bench_table(found).columns[-1].header == "simulation"
    assert bench_table({"models": [first]}).columns[-1].header == "flips"
    assert first["parent"] is None and first["agreement"] is None and second["parent"] == str(whole)
    assert 0 < second["agreement"] <= 1 and 0 <= second["flips"] < 1 and second["accuracy"] is not None
    assert set(first["latency"]) == {"1", "3"} and first["latency"]["3"]["runs"] >= 5
    assert first["bytes"] == (whole / "model.onnx").stat().st_size and first["peak_memory_mb"] > 10
    assert first["runtime"].startswith("onnxruntime") and found["machine"]["threads"] == 1
    pixels = np.stack([np.asarray(Image.open(path)) for path in sorted(photos.rglob("*.png"))])
    logits = (pixels.reshape(-1, 16) / 127.5 - 1) @ WEIGHT
    assert first["accuracy"] == pytest.approx((logits.argmax(axis=1) == np.repeat([0, 1, 2], 8)).mean())


def test_every_form_has_a_marker_of_its_own_in_the_plot() -> None:
    forms = [f"{target} {precision}" for target in TARGETS if target != "hf" for precision in ("float32", "int8")]
    assert len({marker(form) for form in ("teacher", "checkpoint", *forms)}) == len(forms) + 2


def test_a_model_that_cannot_run_is_named(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    folder = write_onnx(tmp_path / "model", WEIGHT)
    (folder / "model.onnx").write_bytes(b"no model")
    with pytest.raises(StageFailed, match=r"model cannot be measured: \S*model.onnx cannot be loaded by ONNX Runtime"):
        bench_models([folder], QUICK)
    with pytest.raises(StageError, match="is named twice"):
        bench_models([folder, folder], QUICK)
    with pytest.raises(StageError, match="holds neither a finished student"):
        bench_models([tmp_path], QUICK)


@pytest.mark.parametrize("width", [80, 160])
def test_models_of_one_run_are_told_apart_in_the_table(width: int) -> None:
    students = "runs/demo/students"
    folders = [f"{students}/cnn/distilled/seed-0", f"{students}/vit/distilled/seed-0"]
    row = {"form": "onnx float32", "bytes": 83_000, "macs": 9, "cold_ms": 1.0, "peak_memory_mb": 300.0}
    row |= {"accuracy": 0.9, "agreement": 0.9, "flips": 0.1}
    row["latency"] = {str(size): {"p50_ms": 1.25, "p95_ms": 2.5} for size in (1, 8, 32)}
    models = [{**row, "model": name} for name in (*folders, f"{folders[0]}/export/onnx")]
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(bench_table({"models": models}))
    printed = console.export_text()
    shown = "".join(line.split("│")[1].strip() for line in printed.splitlines() if line.startswith("│"))
    assert shown == "cnn/distilled/seed-0vit/distilled/seed-0cnn/distilled/seed-0/export/onnx"
    assert f"models in {students}" in printed
    whole = bench_table({"models": [models[0]]})
    assert list(whole.columns[0].cells) == [folders[0]] and whole.caption is None
    apart = bench_table({"models": [{**row, "model": "/a/x"}, {**row, "model": "b/x"}]})
    assert list(apart.columns[0].cells) == ["/a/x", "b/x"]
    inside = bench_table({"models": [models[0], models[2]]})
    assert list(inside.columns[0].cells) == ["seed-0", "seed-0/export/onnx"]


@pytest.mark.slow
def test_a_checkpoint_is_measured_beside_its_export(tmp_path: Path, save: Callable[..., Path]) -> None:
    (found,) = bench_models([save(tmp_path)], QUICK)["models"]
    assert found["form"] == "checkpoint" and found["macs"] > 0 and found["runtime"].startswith("torch")


def test_bench_model_writes_a_table_and_a_plot(run: Callable[..., str], tmp_path: Path, photos: Path) -> None:
    pytest.importorskip("onnxruntime")
    folder, into = write_onnx(tmp_path / "model", WEIGHT), tmp_path / "run"
    said = run("bench-model", folder, "--data", photos, "--batches", "1", "--runs", 5, "--into", into)
    assert "onnx float32" in said
    bench: dict[str, Any] = json.loads((into / "bench.json").read_text())
    assert bench["set"]["samples"] == 24 and (into / "bench.svg").read_text().startswith("<?xml")
    assert "are no batch sizes" in run("bench-model", folder, "--batches", "1,x", code=2)
