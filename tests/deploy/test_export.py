"""Exports of a finished student: checked against torch, run without torch, refused where they would be wrong."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from teachercache.stages.deploy.evaluation.candidate import read_candidate
from teachercache.stages.deploy.export.check import BATCHES, check_graph
from teachercache.stages.deploy.export.export import Asked, export_student
from teachercache.stages.deploy.export.facts import Facts
from teachercache.stages.deploy.export.graphs import student_graphs
from teachercache.stages.deploy.export.manifest import read_export
from teachercache.stages.deploy.export.rows import RealRows
from teachercache.stages.deploy.quantise.export_int8 import Int8, export_int8
from teachercache.stages.deploy.quantise.judge import judge
from teachercache.stages.deploy.quantise.quantise import quantise
from teachercache.stages.deploy.quantise.simulation import simulated, trained_in_int8
from teachercache.stages.deploy.quantise.way import WAYS, Way, fitting_way
from teachercache.stages.errors import StageError, StageFailed
from teachercache.stages.student.files.saved import load_student

ONNX = pytest.importorskip("teachercache.stages.deploy.runtimes.onnx")
onnx = pytest.importorskip("onnx", reason="the extra `export` is not installed")
LABELS = ("ant", "bee", "cat", "dog", "elk", "fox", "gnu")


@pytest.fixture(scope="module")
def student(save: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("run") / "students")


@pytest.fixture(scope="module")
def exported(student: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exports") / "onnx"
    export_student(read_candidate(student), Asked("onnx", out), Facts(labels=LABELS, licence="CC0"))
    return out


def pixels(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, 3, 16, 16)).astype(np.float32)


def test_the_graph_says_what_torch_says_at_any_batch(student: Path, exported: Path) -> None:
    about, graph = read_export(exported), ONNX.OnnxGraph(exported / "model.onnx", threads=1)
    assert about.kind == "classifier" and about.check["batches"] == [1, 2, 7, 32] == list(BATCHES)
    assert about.graphs["model"].inputs[0].shape == ("batch", 3, 16, 16)
    assert about.graphs["model"].bytes == (exported / "model.onnx").stat().st_size
    with torch.inference_mode():
        wanted = load_student(student)({"pixel_values": torch.from_numpy(pixels(5))})["logits"].numpy()
    np.testing.assert_allclose(graph({"pixel_values": pixels(5)})["logits"], wanted, rtol=0, atol=1e-4)


def test_the_file_holds_no_traces_of_where_it_was_made(exported: Path) -> None:
    assert b'File "' not in (exported / "model.onnx").read_bytes()


def test_run_py_needs_neither_torch_nor_this_project(student: Path, exported: Path, tmp_path: Path) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    block = "import sys, runpy; sys.modules.update(torch=None, teachercache=None, transformers=None); "
    code = block + f"sys.path.insert(0, {str(exported)!r}); sys.argv = ['run.py', {str(tmp_path / 'a.png')!r}]; "
    code += f"runpy.run_path({str(exported / 'run.py')!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    values = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        shares = load_student(student)({"pixel_values": (values - 0.5) / 0.5})["logits"].softmax(1)[0]
    name, share = done.stdout.split()
    assert name == LABELS[int(shares.argmax())] and float(share) == pytest.approx(float(shares.max()), abs=1e-3)


def test_the_card_says_what_is_known_and_makes_nothing_up(exported: Path) -> None:
    card = (exported / "README.md").read_text()
    assert "| licence | CC0 |" in card and "| teacher | not known |" in card and "It was not evaluated" in card
    assert json.loads((exported / "labels.json").read_text()) == list(LABELS)


def test_an_export_is_never_written_over_unless_asked(student: Path, exported: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="is there already: --replace"):
        export_student(read_candidate(student), Asked("onnx", exported), Facts())
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(StageError, match="it is no export; name another"):
        export_student(read_candidate(student), Asked("onnx", tmp_path, replace=True), Facts())
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda values: values + 2e-4, "differs from torch by 0.0002, and 0.0001 is allowed"),
        (lambda values: values * np.nan, "no finite numbers"),
        (lambda values: values[:1], "returns"),
    ],
)
def test_a_graph_that_says_something_else_is_refused(student: Path, wrong: Any, why: str) -> None:
    (graph,) = student_graphs(read_candidate(student)).values()

    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = graph.run({name: torch.from_numpy(values) for name, values in inputs.items()})
        return {name: np.asarray(wrong(values.numpy()), np.float32) for name, values in found.items()}

    with pytest.raises(StageFailed, match=why):
        check_graph(graph, run, 1e-4, "a test")


def test_a_student_that_makes_no_numbers_leaves_nothing(save: Callable[..., Path], tmp_path: Path) -> None:
    folder = save(tmp_path / "students", name="broken")
    weights = load_file(folder / "student.safetensors")
    save_file({name: values * float("nan") for name, values in weights.items()}, folder / "student.safetensors")
    with pytest.raises(StageFailed, match="no finite numbers even for a blank input"):
        export_student(read_candidate(folder), Asked("onnx", tmp_path / "out"), Facts())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["students"]


def test_bad_words_on_the_command_line(run: Callable[..., str], student: Path, tmp_path: Path) -> None:
    assert "has no student.json" in run("export", tmp_path, "--to", "onnx", code=2)
    assert "no such target" in run("export", student, "--to", "oonx", code=2)
    assert "no output 'logitz'" in run("export", student, "--to", "onnx", "--outputs", "logitz", code=2)
    assert "--config recipe.yaml" in run("export", student, "--to", "onnx", "--int8", code=2)
    assert "say --int8 too" in run("export", student, "--to", "onnx", "--way", "dynamic", code=2)
    assert "no model of transformers" in run("export", student, "--to", "hf", code=2)
    assert not (student / "export").exists()


def test_a_checkpoint_of_another_version_is_refused(
    run: Callable[..., str], save: Callable[..., Path], tmp_path: Path
) -> None:
    folder = save(tmp_path / "students")
    content = json.loads((folder / "student.json").read_text())
    (folder / "student.json").write_text(json.dumps({**content, "student": {"name": "cnn", "new_field": 1}}))
    assert "cannot be read by this version" in run("export", folder, "--to", "onnx", code=2)


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_extra_names_what_installs_it(
    run: Callable[..., str], student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    said = run("export", student, "--to", "onnx", "--out", tmp_path / "out", code=2)
    assert f"{missing} is needed" in said and "pip install 'teachercache[export]'" in said
    assert not (tmp_path / "out").exists()


def test_convolutions_are_quantised_with_calibration(exported: Path, tmp_path: Path) -> None:
    source, file = exported / "model.onnx", tmp_path / "int8.onnx"
    assert fitting_way(source) == "static-u8s8"
    for way in WAYS[1:]:
        quantise(source, file, way, RealRows({"pixel_values": pixels(64)}, np.full(64, -1)))
        rows = RealRows({"pixel_values": pixels(80, 1)}, np.zeros(80, np.int64))
        drift = judge({"model": ONNX.OnnxGraph(source, threads=1)}, {"model": ONNX.OnnxGraph(file, threads=1)}, rows)
        assert drift.rows == 80 and 0.98 < drift.cosine < 1.0 and drift.drift_points is not None
        kinds = [node.op_type for node in onnx.load(file).graph.node]
        assert "DequantizeLinear" in kinds and b'File "' not in file.read_bytes()


@pytest.mark.parametrize("way", ["dynamic", "static-u8s8"])
def test_weights_of_seven_bits_overflow_no_sum_of_sixteen(exported: Path, tmp_path: Path, way: Way) -> None:
    file, rows = tmp_path / "int8.onnx", RealRows({"pixel_values": pixels(64)}, np.full(64, -1))
    quantise(exported / "model.onnx", file, way, rows)
    weights = [onnx.numpy_helper.to_array(one) for one in onnx.load(file).graph.initializer]
    largest = [int(np.abs(one.astype(np.int64)).max()) for one in weights if one.dtype == np.int8 and one.ndim > 1]
    assert largest and max(largest) <= 64


def test_the_simulation_in_torch_says_what_the_runtime_says(student: Path, exported: Path, tmp_path: Path) -> None:
    rows, judged = (RealRows({"pixel_values": pixels(80, seed)}, np.zeros(80, np.int64)) for seed in (0, 1))
    quantise(exported / "model.onnx", tmp_path / "int8.onnx", "static-u8s8", rows)
    (graph,) = student_graphs(read_candidate(student)).values()
    runtime, floats = (
        {"model": ONNX.OnnxGraph(file, threads=1)} for file in (tmp_path / "int8.onnx", exported / "model.onnx")
    )
    simulation = {"model": simulated(graph, rows)}
    near, far = judge(simulation, runtime, judged), judge(floats, runtime, judged)
    assert 1 - near.cosine < (1 - far.cosine) / 4
    assert near.agreement is not None and near.agreement >= 0.95


def test_an_export_says_how_near_the_runtime_comes_to_what_a_student_learnt(
    save: Callable[..., Path], tmp_path: Path
) -> None:
    terms = [{"loss": "kl", "signal": "logits"}]
    phases = [{"name": "all", "share": 1.0, "objective": terms, "fake_quantise": True}]
    rows = RealRows({"pixel_values": pixels(70)}, np.zeros(70, np.int64))
    candidate = read_candidate(save(tmp_path / "students", objective=(), phases=phases))
    assert trained_in_int8(candidate) and not trained_in_int8(read_candidate(save(tmp_path / "others")))
    made = export_int8(candidate, Asked("onnx", tmp_path / "fake"), Facts(), Int8(rows, rows, None, 0.0))
    assert made.quantisation is not None and made.quantisation["weight_bits"] == 7
    assert made.quantisation["simulation_cosine"] > 0.99
    card = (tmp_path / "fake" / "README.md").read_text()
    assert "| int8: simulation agreement | " in card and "| int8: simulation cosine | " in card


def test_an_int8_file_without_names_and_doubles_says_the_same_bit_for_bit(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways: tuple[Way, ...] = ("static-u8s8", "dynamic")
    for way in ways:
        files = [tmp_path / f"{way}-{name}.onnx" for name in ("long", "short")]
        rows = RealRows({"pixel_values": pixels(64)}, np.full(64, -1))
        with monkeypatch.context() as patched:
            patched.setattr("teachercache.stages.deploy.quantise.quantise.shorten", lambda model: None)
            quantise(exported / "model.onnx", files[0], way, rows)
        quantise(exported / "model.onnx", files[1], way, rows)
        np.testing.assert_array_equal(*(ONNX.OnnxGraph(file, threads=1)(rows.inputs)["logits"] for file in files))
        assert files[1].stat().st_size < 0.9 * files[0].stat().st_size


def test_too_small_a_calibration_set_is_refused(exported: Path, tmp_path: Path) -> None:
    rows = RealRows({"pixel_values": pixels(63)}, np.full(63, -1))
    with pytest.raises(StageError, match="calibration has 63 rows, and 64 are the fewest"):
        quantise(exported / "model.onnx", tmp_path / "int8.onnx", "static-u8s8", rows)
    with pytest.raises(StageError, match="calibrated with real rows, and none are given"):
        quantise(exported / "model.onnx", tmp_path / "int8.onnx", "static-u8s8", None)
    assert list(tmp_path.iterdir()) == []


def test_agreement_and_drift_are_counted() -> None:
    logits = np.eye(4, dtype=np.float32)
    turned = logits[[1, 0, 2, 3]]
    rows = RealRows({"rows": np.arange(4)}, np.array([0, 1, 2, -1]))
    drift = judge({"model": lambda _: {"logits": logits}}, {"model": lambda _: {"logits": turned}}, rows)
    assert (drift.agreement, drift.cosine) == (0.5, 0.5) and drift.drift_points == pytest.approx(-200 / 3)
