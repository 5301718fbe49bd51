"""Exports to LiteRT: every kind of student in its runtime, int8 of it, and what is said where it cannot be."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from asked_models import write_onnx
from PIL import Image
from test_export_kinds import CASES, IMAGE, ODD, finished

from teachercache.stages.deploy.bench.bench import bench_models
from teachercache.stages.deploy.bench.spec import BenchSpec
from teachercache.stages.deploy.evaluation.candidate import read_candidate
from teachercache.stages.deploy.export.export import Asked, export_student
from teachercache.stages.deploy.export.facts import Facts
from teachercache.stages.deploy.export.manifest import read_export
from teachercache.stages.deploy.export.rows import RealRows
from teachercache.stages.deploy.export.targets.litert_bare import save_bare_litert
from teachercache.stages.deploy.export.targets.litert_file import quietly
from teachercache.stages.deploy.predict import open_predictor
from teachercache.stages.deploy.quantise.export_int8 import Int8, export_int8
from teachercache.stages.deploy.runtimes.litert import LitertGraph
from teachercache.stages.errors import StageError

ITEMS: dict[str, Any] = {
    "pixel_values": np.random.default_rng(0).integers(0, 256, (20, 16, 3), np.uint8),
    "input_ids": "red heart",
    "steps": np.ones((3, 3), np.float32),
    "volume": np.ones((3, 8, 8), np.float32),
}


def needs_converter() -> None:
    pytest.importorskip("litert_torch", reason="the extra `litert` is not installed")


def rows(count: int, seed: int = 0) -> RealRows:
    pixels = np.random.default_rng(seed).standard_normal((count, 3, 16, 16)).astype(np.float32)
    return RealRows({"pixel_values": pixels}, np.zeros(count, np.int64))


def run_alone(folder: Path, place: Path, *words: str) -> str:
    """What run.py prints where there is no torch, no converter and none of our code."""
    hidden = "torch=None, teachercache=None, transformers=None, litert_torch=None"
    code = f"import sys, runpy; sys.modules.update({hidden}); sys.path.insert(0, {str(folder)!r}); "
    code += f"sys.argv = ['run.py', *{list(words)!r}]; runpy.run_path({str(folder / 'run.py')!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=place, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("use", "inputs", "args", "outputs", "graphs"), CASES, ids=[f"{c[0]}-{len(c[1])}" for c in CASES]
)
def test_a_student_of_any_kind_says_what_its_checkpoint_says(
    tmp_path: Path, use: str, inputs: dict[str, Any], args: dict[str, Any], outputs: tuple[str, ...], graphs: list[str]
) -> None:
    needs_converter()
    candidate = finished(tmp_path, use, inputs, args, outputs)
    made = export_student(candidate, Asked("litert", tmp_path / "out"), Facts())
    assert list(made.graphs) == graphs and made.check["largest_difference"] <= 1e-4
    ends = [one for graph in made.graphs.values() for one in (*graph.inputs, *graph.outputs)]
    assert all(one.shape[0] == 1 and not {"batch", "length"} & set(one.shape) for one in ends)
    assert {one.name for graph in made.graphs.values() for one in graph.outputs} == set(outputs)
    ours, theirs = (open_predictor(folder, threads=1) for folder in (tmp_path / "out", candidate.folder))
    asked = [{name: ITEMS[name]} for name in inputs] if len(graphs) > 1 else [{name: ITEMS[name] for name in inputs}]
    for item in asked:
        found, wanted = ours.predict(item), theirs.predict(item)
        assert set(found) <= set(wanted)
        for name, values in found.items():
            np.testing.assert_allclose(values, wanted[name], rtol=0, atol=1e-4)
    Image.fromarray(ITEMS["pixel_values"]).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", ITEMS["volume" if "volume" in inputs else "steps"])
    words = {"image": "a.png", "text": "red heart", "array": "a.npy"}
    said = run_alone(tmp_path / "out", tmp_path, *(f"{name}={words[next(iter(one))]}" for name, one in inputs.items()))
    assert len(said.splitlines()) == len(outputs)


@pytest.mark.slow
def test_a_folder_is_predicted_and_measured(run: Callable[..., str], save: Callable[..., Path], tmp_path: Path) -> None:
    needs_converter()
    student, out = save(tmp_path / "students"), tmp_path / "out"
    assert "litert, float32" in run("export", student, "--to", "litert", "--out", out)
    assert b"teachercache" not in (out / "model.tflite").read_bytes()
    assert "pip install numpy pillow ai-edge-litert\n" in (out / "README.md").read_text()
    Image.fromarray(ITEMS["pixel_values"]).save(tmp_path / "a.png")
    (found,) = json.loads(run("predict", out, tmp_path / "a.png", "--json"))
    (wanted,) = json.loads(run("predict", student, tmp_path / "a.png", "--json"))
    np.testing.assert_allclose(found["outputs"]["logits"], wanted["outputs"]["logits"], rtol=0, atol=1e-4)
    assert run_alone(out, tmp_path, "a.png").split()[0] == found["classes"][0]["name"]
    measured, whole = bench_models([out, student], BenchSpec(batches=(1, 3), runs=5))["models"]
    assert measured["runtime"].startswith("ai-edge-litert") and measured["form"] == "litert float32"
    assert set(measured["latency"]) == {"1", "3"} and measured["macs"] == whole["macs"]
    assert measured["peak_memory_mb"] < whole["peak_memory_mb"]


@pytest.mark.slow
def test_a_file_without_names_says_the_same_bit_for_bit(tmp_path: Path) -> None:
    converter = pytest.importorskip("litert_torch", reason="the extra `litert` is not installed")
    file, values = tmp_path / "model.tflite", np.random.default_rng(0).standard_normal((3, 2, 8, 8)).astype(np.float32)
    with quietly():
        module = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), torch.nn.ReLU(), torch.nn.Flatten())
        converter.convert(module.eval(), (torch.zeros(1, 2, 8, 8),)).export(str(file))
    named, said = file.read_bytes(), LitertGraph(file)({"args_0": values})
    save_bare_litert(file)
    assert b"torch.nn" in named and b"torch.nn" not in file.read_bytes() and file.stat().st_size < len(named)
    np.testing.assert_array_equal(LitertGraph(file)({"args_0": values})["output_0"], said["output_0"])


@pytest.mark.slow
def test_int8_is_judged_and_its_ways_are_said(save: Callable[..., Path], tmp_path: Path) -> None:
    needs_converter()
    pytest.importorskip("ai_edge_quantizer")
    candidate = read_candidate(save(tmp_path / "students", args={"widths": [16, 32]}))
    made = export_int8(candidate, Asked("litert", tmp_path / "static"), Facts(), Int8(rows(80, 1), rows(64), None, 0.5))
    found = made.quantisation
    assert found is not None and (found["way"], found["weight_bits"]) == ("static-s8s8", 8)
    assert found["agreement"] >= 0.9 and found["cosine"] > 0.99 and made.bytes < found["float_bytes"] / 1.5
    assert [one.dtype for graph in made.graphs.values() for one in (*graph.inputs, *graph.outputs)] == ["float32"] * 2
    export_int8(candidate, Asked("litert", tmp_path / "dynamic"), Facts(), Int8(rows(80, 1), way="dynamic"))
    ways = [LitertGraph(tmp_path / name / "model.tflite", threads=1) for name in ("static", "dynamic")]
    assert all(graph.holds(np.int8) for graph in ways)
    assert read_export(tmp_path / "dynamic").quantisation["way"] == "dynamic"  # type: ignore[index]
    assert not (tmp_path / "static" / "model.tflite").stat().st_mode & 0o111
    for settings, why in (
        (Int8(rows(80), rows(64), "static-u8s8"), "LiteRT computes with signed activations"),
        (Int8(rows(80), rows(63)), "calibration has 63 rows, and 64 are the fewest"),
        (Int8(rows(80)), "calibrated with real rows, and none are given"),
        (Int8(rows(80), rows(64), None, 1.1), "and 1.1 is the least; nothing was written"),
    ):
        with pytest.raises(StageError, match=why):
            export_int8(candidate, Asked("litert", tmp_path / "refused"), Facts(), settings)
    assert not (tmp_path / "refused").exists()


@pytest.mark.slow
def test_what_litert_cannot_say_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    needs_converter()
    (tmp_path / "odder_students.py").write_text(ODD)
    monkeypatch.syspath_prepend(str(tmp_path))
    candidate = finished(tmp_path, "odder_students:Odd", IMAGE, {}, ("logits",))
    capfd.readouterr()
    with pytest.raises(StageError, match="cannot be exported to LiteRT: .*eigh"):
        export_student(candidate, Asked("litert", tmp_path / "out"), Facts())
    assert not (tmp_path / "out").exists() and capfd.readouterr() == ("", "")


def test_the_runtime_takes_rows_of_the_files_shape_alone(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="the extra `litert` is not installed")
    (tmp_path / "model.tflite").write_bytes(b"no model")
    with pytest.raises(StageError, match="model.tflite cannot be loaded by LiteRT .*export the student again"):
        LitertGraph(tmp_path / "model.tflite")


@pytest.mark.parametrize(
    ("target", "runtime", "extra"),
    [("litert", "ai_edge_litert.interpreter", "litert"), ("openvino", "openvino", "openvino")],
)
def test_a_missing_runtime_names_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, runtime: str, extra: str
) -> None:
    pytest.importorskip("onnx")
    folder = write_onnx(tmp_path / "export", np.ones((16, 3), np.float32))
    about = json.loads((folder / "export.json").read_text())
    (folder / "export.json").write_text(json.dumps({**about, "target": target}))
    monkeypatch.setitem(sys.modules, runtime, None)
    with pytest.raises(StageError, match=rf"pip install 'teachercache\[{extra}\]'"):
        open_predictor(folder)


def test_a_missing_converter_names_the_extra(
    run: Callable[..., str], save: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "litert_torch", None)
    said = run("export", save(tmp_path / "students"), "--to", "litert", "--out", tmp_path / "out", code=2)
    assert "litert_torch is needed" in said and "pip install 'teachercache[litert]'" in said
    assert not (tmp_path / "out").exists()
