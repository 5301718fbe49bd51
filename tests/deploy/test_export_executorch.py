"""Exports to ExecuTorch say what torch says, at any batch, and sizes that they cannot take are refused."""

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_export_kinds import CASES, IMAGE, PAIR, SIGLIP, SIZE, TEXT, VOLUME, finished

from teachercache.stages.deploy.bench.bench import bench_models
from teachercache.stages.deploy.bench.spec import BenchSpec
from teachercache.stages.deploy.evaluation.candidate import read_candidate
from teachercache.stages.deploy.export.export import Asked, export_student
from teachercache.stages.deploy.export.facts import Facts
from teachercache.stages.deploy.export.graphs import student_graphs
from teachercache.stages.deploy.export.rows import RealRows
from teachercache.stages.deploy.predict import open_predictor
from teachercache.stages.deploy.quantise.executorch_int8 import write_executorch_int8
from teachercache.stages.deploy.quantise.export_int8 import Int8, export_int8
from teachercache.stages.deploy.runtimes.runtime import GraphNames, OpenGraph, open_graph
from teachercache.stages.errors import StageError, StageFailed
from teachercache.stages.student.files.saved import load_student


def executorch() -> None:
    """Skips where it is not installed. Its import, of torchao too, warns and is left to our own code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("executorch.extension.pybindings", reason="the extra `executorch` is not installed")


@pytest.fixture(scope="module")
def student(save: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("run") / "students")


@pytest.fixture(scope="module")
def exported(student: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    executorch()
    out = tmp_path_factory.mktemp("exports") / "executorch"
    export_student(read_candidate(student), Asked("executorch", out), Facts(labels=tuple("abcdefg")))
    return out


def opened(folder: Path, inputs: tuple[str, ...] = ("pixel_values",)) -> OpenGraph:
    return open_graph("executorch", folder / "model.pte", GraphNames(inputs, ("logits",)), 1)


def pixels(rows: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((rows, 3, 16, 16)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 31, 33, 70])
def test_more_rows_than_memory_is_planned_for_are_run_in_pieces(student: Path, exported: Path, count: int) -> None:
    with torch.inference_mode():
        wanted = load_student(student)({"pixel_values": torch.from_numpy(pixels(count))})["logits"].numpy()
    turned = np.ascontiguousarray(pixels(count).transpose(0, 2, 3, 1)).transpose(
        0, 3, 1, 2
    )  # the same in other strides
    for given in (pixels(count), turned):
        np.testing.assert_allclose(opened(exported)({"pixel_values": given})["logits"], wanted, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_sizes_that_fit_the_memory_and_not_the_student_are_refused(exported: Path) -> None:
    graph = opened(exported)
    for shape in ((2, 3, 15, 16), (2, 3, 16), (2, 1, 16, 16)):
        with pytest.raises(StageError, match=r"a row of pixel_values has the shape .* takes \(3, 16, 16\)"):
            graph({"pixel_values": np.zeros(shape, np.float32)})
    with pytest.raises(StageError, match="a row or more"):
        graph({"pixel_values": pixels(0)})


@pytest.mark.slow
def test_a_sequence_may_be_shorter_and_not_longer(tmp_path: Path) -> None:
    executorch()
    candidate = finished(tmp_path, "slices", VOLUME, {}, ("logits",))
    made = export_student(candidate, Asked("executorch", tmp_path / "out"), Facts())
    assert made.graphs["model"].inputs[0].shape == ("batch", "length", 8, 8)
    graph = opened(tmp_path / "out", ("volume", "volume_lengths"))

    def say(length: int) -> np.ndarray:
        volume = np.ones((2, length, 8, 8), np.float32)
        return graph({"volume": volume, "volume_lengths": np.full(2, length)})["logits"]

    assert say(1).shape == say(5).shape == (2, 7)
    for length in (0, 6):
        with pytest.raises(StageError, match=r"takes \(1 to 5, 8, 8\)"):
            say(length)
    with pytest.raises(StageError, match="as many of each of volume, volume_lengths"):
        graph({"volume": np.ones((2, 3, 8, 8), np.float32), "volume_lengths": np.ones(3, np.int64)})


@pytest.mark.slow
def test_the_predictor_the_bench_and_run_py_read_it(student: Path, exported: Path, tmp_path: Path) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    wanted = open_predictor(student).predict([picture] * 40)["logits"]
    np.testing.assert_allclose(open_predictor(exported, 64).predict([picture] * 40)["logits"], wanted, atol=1e-4)
    (row,) = bench_models([exported], BenchSpec(batches=(1, 40), runs=5))["models"]
    assert row["runtime"].startswith("executorch ") and row["form"] == "executorch float32"
    call = [sys.executable, "-W", "ignore", str(exported / "run.py"), *["a.png"] * 40]
    done = subprocess.run(call, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == 40 and {line.split()[0] for line in said} == {"abcdefg"[int(wanted[0].argmax())]}
    assert "pip install numpy pillow torch executorch" in (exported / "README.md").read_text()


@pytest.mark.slow
def test_a_damaged_file_is_refused(exported: Path, tmp_path: Path) -> None:
    whole = (exported / "model.pte").read_bytes()
    for damaged in (b"", b"no program" * 100, whole[:5000]):
        (tmp_path / "model.pte").write_bytes(damaged)
        with pytest.raises(StageError, match="cannot be loaded by ExecuTorch .*: export the student again"):
            opened(tmp_path)


@pytest.mark.slow
def test_outputs_without_rows_in_first_place_are_refused(tmp_path: Path) -> None:
    executorch()
    outputs = ("logits_per_text",)
    candidate = finished(tmp_path, "transformers:SiglipConfig", {**IMAGE, **TEXT}, SIGLIP, (*PAIR, *outputs))
    with pytest.raises(StageError, match="logits_per_text has its rows in another place than first"):
        export_student(candidate, Asked("executorch", tmp_path / "out", outputs), Facts())
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("use", "inputs", "args", "outputs", "graphs"), CASES, ids=[f"{c[0]}-{len(c[1])}" for c in CASES]
)
def test_a_student_of_any_kind_agrees_with_torch(
    tmp_path: Path, use: str, inputs: dict[str, Any], args: dict[str, Any], outputs: tuple[str, ...], graphs: list[str]
) -> None:
    executorch()
    asked = Asked("executorch", tmp_path / "out")
    candidate = finished(tmp_path, use, inputs, args, outputs)
    if "Siglip" in use:  # XNNPACK's tanh, in its GELU, is a rougher one than torch's
        with pytest.raises(StageFailed, match="differs from torch by 0.000"):
            export_student(candidate, asked, Facts())
        return
    made = export_student(candidate, asked, Facts())
    assert list(made.graphs) == graphs and made.check["largest_difference"] <= 1e-4
    about = json.loads((tmp_path / "out" / "export.json").read_text())
    assert about["graphs"][graphs[0]]["inputs"][0]["shape"][0] == "batch"


def test_a_missing_extra_names_what_installs_it(
    run: Callable[..., str], student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bindings = ("_C", "portable_lib")
    for missing in ("executorch", "executorch.exir", *(f"executorch.extension.pybindings.{one}" for one in bindings)):
        monkeypatch.setitem(sys.modules, missing, None)
    said = run("export", student, "--to", "executorch", "--out", tmp_path / "out", code=2)
    assert "executorch is needed" in said and "pip install 'teachercache[executorch]'" in said
    with pytest.raises(StageError, match="model.pte needs executorch .*teachercache.executorch."):
        opened(tmp_path)
    assert not (tmp_path / "out").exists()


def rows(count: int) -> RealRows:
    return RealRows({"pixel_values": pixels(count)}, np.zeros(count, np.int64))


@pytest.mark.slow
def test_convolutions_are_quantised_with_calibration(student: Path, tmp_path: Path) -> None:
    executorch()
    asked = Asked("executorch", tmp_path / "out")
    made = export_int8(read_candidate(student), asked, Facts(), Int8(rows(70), rows(64), None, 0.5))
    found = made.quantisation
    assert found is not None and (found["way"], found["weight_bits"]) == ("static-s8s8", 8)
    assert 0.98 < found["cosine"] < 1 and found["agreement"] >= 0.5 and made.bytes <= found["float_bytes"]
    said = opened(tmp_path / "out")({"pixel_values": pixels(70)})["logits"]
    alone = np.concatenate([opened(tmp_path / "out")({"pixel_values": pixels(70)[[n]]})["logits"] for n in range(3)])
    np.testing.assert_allclose(said[:3], alone, atol=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # many minutes on a busy machine
def test_dense_layers_are_quantised_without_neighbours_in_their_ranges(tmp_path: Path) -> None:
    executorch()
    vit = {**SIZE, "patch_size": 8}
    candidate = finished(tmp_path, "transformers:ViTConfig", IMAGE, vit, ("logits",))
    asked = Asked("executorch", tmp_path / "out")
    made = export_int8(candidate, asked, Facts(), Int8(rows(70), least_agreement=0.5))
    assert made.quantisation is not None and made.quantisation["way"] == "dynamic"
    assert 0.98 < made.quantisation["cosine"] < 1
    graph, loud = opened(tmp_path / "out"), pixels(2) * np.array([1, 100], np.float32)[:, None, None, None]
    together, alone = (graph({"pixel_values": one})["logits"][0] for one in (loud, loud[:1]))
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.slow
def test_int8_that_cannot_be_is_refused(student: Path, tmp_path: Path) -> None:
    executorch()
    (graph,) = student_graphs(read_candidate(student)).values()
    file = tmp_path / "model.pte"
    with pytest.raises(StageError, match="XNNPACK computes with signed activations; --way static-s8s8 or dynamic"):
        write_executorch_int8(graph, file, file, "static-u8s8", rows(64))
    with pytest.raises(StageError, match="calibration has 63 rows, and 64 are the fewest"):
        write_executorch_int8(graph, file, file, None, rows(63))
    with pytest.raises(StageError, match="none are given"):
        write_executorch_int8(graph, file, file, None, None)
    assert not file.exists()


@pytest.mark.slow
def test_a_relu_used_twice_is_quantised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executorch()
    (tmp_path / "twice_students.py").write_text(
        "import torch\n"
        "class Twice(torch.nn.Module):\n"
        "    def __init__(self, classes):\n"
        "        super().__init__()\n"
        "        self.one, self.two = torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.Conv2d(8, 16, 3, 2, 1)\n"
        "        self.relu, self.head = torch.nn.ReLU(), torch.nn.Linear(16, classes)\n"
        "    def forward(self, inputs):\n"
        "        inside = self.relu(self.two(self.relu(self.one(inputs['pixel_values']))))\n"
        "        return {'logits': self.head(inside.mean(dim=(2, 3)))}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    candidate = finished(tmp_path, "twice_students:Twice", IMAGE, {}, ("logits",))
    asked = Asked("executorch", tmp_path / "out")
    made = export_int8(candidate, asked, Facts(), Int8(rows(70), rows(64), None, 0.5))
    assert made.quantisation is not None and made.quantisation["cosine"] > 0.98
