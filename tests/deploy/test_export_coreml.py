"""Exports to CoreML, which no machine but a Mac can run: written on request alone, with what checks them there."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_export_kinds import CASES, finished

from teachercache.stages.deploy.bench.bench import bench_models
from teachercache.stages.deploy.bench.spec import BenchSpec
from teachercache.stages.deploy.evaluation.candidate import read_candidate
from teachercache.stages.deploy.export import mac_check
from teachercache.stages.deploy.export.export import Asked, export_student
from teachercache.stages.deploy.export.facts import Facts
from teachercache.stages.deploy.export.graphs import student_graphs
from teachercache.stages.deploy.export.targets.target import Target, target_of
from teachercache.stages.deploy.export.unchecked import require_word, write_probes
from teachercache.stages.deploy.predict import open_predictor
from teachercache.stages.deploy.quantise.target_int8 import int8_writer
from teachercache.stages.errors import StageError, StageFailed

CONVERTED = ("transformers:ViTConfig",)
away_from_macs = pytest.mark.skipif(sys.platform == "darwin", reason="a Mac runs CoreML, and checks it")
# A stand-in for coremltools on a Mac: its model answers with torch's own answers, and 1 more where WRONG says so.
STAND_IN = """
import os
from pathlib import Path
import numpy as np
class ComputeUnit:
    CPU_ONLY = "cpu"
class models:
    class MLModel:
        def __init__(self, path, compute_units):
            self.probes = np.load(Path(path).parent / "probes.npz")
        def predict(self, given):
            assert all(values.dtype != np.int64 for values in given.values())
            batch = len(next(iter(given.values())))
            said = self.probes[f"model/{batch}/out/logits"]
            return {"logits": said + (1 if os.environ.get("WRONG") == str(batch) else 0)}
"""


@pytest.fixture(scope="module")
def student(save: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("run") / "students")


@pytest.fixture(scope="module")
def exported(student: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("coremltools", reason="the extra `coreml` is not installed")
    out = tmp_path_factory.mktemp("exports") / "coreml"
    export_student(read_candidate(student), Asked("coreml", out, unchecked=True), Facts())
    return out


@away_from_macs
def test_it_is_not_written_unless_the_missing_check_is_accepted(
    run: Callable[..., str], student: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    said = run("export", student, "--to", "coreml", "--out", out, code=2)
    assert "runs on macOS alone" in said and "--unchecked writes it" in said
    with pytest.raises(StageError, match="there is no int8 of coreml"):
        int8_writer("coreml")
    assert "is checked where it is written" in run("export", student, "--to", "onnx", "--unchecked", code=2)
    with pytest.raises(StageError, match="onnx runs on this machine, and is checked"):
        require_word(target_of("onnx"), True)
    assert not out.exists()


def test_a_mac_makes_the_check_itself() -> None:
    here: Any = None
    target = Target("coreml", ".mlpackage", here, here, runs_here=True)
    require_word(target, False)
    with pytest.raises(StageError, match="leave it out"):
        require_word(target, True)


@pytest.mark.slow
def test_a_missing_extra_names_what_installs_it(
    run: Callable[..., str], student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "coremltools", None)
    said = run("export", student, "--to", "coreml", "--unchecked", "--out", tmp_path / "out", code=2)
    assert "coremltools is needed" in said and "pip install 'teachercache[coreml]'" in said
    assert not (tmp_path / "out").exists()


def test_torchs_answers_are_told_from_others(student: Path, tmp_path: Path) -> None:
    graphs = student_graphs(read_candidate(student))
    write_probes(graphs, tmp_path)
    (tmp_path / "coremltools.py").write_text(STAND_IN)
    check = {"batches": [1, 2, 7, 32], "tolerance": 1e-4}
    about = {"graphs": {"model": {"file": "model.mlpackage"}}, "check": check}
    (tmp_path / "export.json").write_text(json.dumps(about))

    def ran(**environment: str) -> tuple[int, str]:
        call, place = [sys.executable, "check.py"], {"PYTHONPATH": str(tmp_path), **environment}
        done = subprocess.run(call, capture_output=True, text=True, cwd=tmp_path, env=place, timeout=60)
        assert not done.stderr, done.stderr
        return done.returncode, done.stdout

    code, said = ran()
    assert code == 0 and said.count("0.0e+00 from torch") == 4 and said.endswith("it says what torch says\n")
    code, said = ran(WRONG="7")
    assert code == 1 and said.count("0.0e+00 from torch") == 3 and "it DIFFERS from torch" in said


def test_shapes_and_values_that_are_no_numbers_are_differences() -> None:
    probes = {"model/2/in/ids": np.zeros((2, 3), np.int64), "model/2/out/logits": np.ones((2, 4), np.float32)}
    for said in (np.ones((1, 4)), np.full((2, 4), np.nan), np.full((2, 4), np.inf)):
        assert mac_check.difference(lambda given, said=said: {"logits": said}, probes, "model", 2) == float("inf")
    assert mac_check.difference(lambda given: {"logits": np.full((2, 4), 1.25)}, probes, "model", 2) == 0.25


@pytest.mark.slow
@away_from_macs
def test_the_package_has_the_students_names_and_a_free_batch(exported: Path) -> None:
    coremltools: Any = pytest.importorskip("coremltools")
    spec = coremltools.models.MLModel(str(exported / "model.mlpackage"), skip_model_load=True).get_spec()
    (given,), (said,) = spec.description.input, spec.description.output
    assert (given.name, said.name) == ("pixel_values", "logits")
    ranges = [(r.lowerBound, r.upperBound) for r in given.type.multiArrayType.shapeRange.sizeRanges]
    assert ranges == [(1, 32), (3, 3), (16, 16), (16, 16)]
    float32 = coremltools.proto.FeatureTypes_pb2.ArrayFeatureType.FLOAT32
    assert given.type.multiArrayType.dataType == said.type.multiArrayType.dataType == float32


@pytest.mark.slow
@away_from_macs
def test_the_folder_says_that_nothing_was_checked(exported: Path) -> None:
    about = json.loads((exported / "export.json").read_text())
    assert about["check"] == {"batches": [1, 2, 7, 32], "tolerance": 1e-4, "largest_difference": None}
    assert about["graphs"]["model"]["inputs"][0]["shape"] == ["batch", 3, 16, 16]
    assert "| checked | no: nothing ran it where it was written" in (exported / "README.md").read_text()
    assert {"probes.npz", "check.py", "run.py", "model.mlpackage"} <= {path.name for path in exported.iterdir()}
    for use in (lambda: open_predictor(exported), lambda: bench_models([exported], BenchSpec(batches=(1,), runs=5))):
        with pytest.raises((StageError, StageFailed), match="CoreML runs on macOS alone; run it on a Mac"):
            use()


@pytest.mark.slow
@away_from_macs
def test_two_exports_of_a_student_hold_the_same_weights(student: Path, exported: Path, tmp_path: Path) -> None:
    export_student(read_candidate(student), Asked("coreml", tmp_path / "out", unchecked=True), Facts())
    weights = [next(place.rglob("weight.bin")).read_bytes() for place in (exported, tmp_path / "out")]
    assert weights[0] == weights[1] and len(weights[0]) > 1000


@pytest.mark.slow
@away_from_macs
@pytest.mark.parametrize(
    ("use", "inputs", "args", "outputs", "graphs"), CASES, ids=[f"{c[0]}-{len(c[1])}" for c in CASES]
)
def test_a_student_is_converted_or_refused_in_one_line(
    tmp_path: Path, use: str, inputs: dict[str, Any], args: dict[str, Any], outputs: tuple[str, ...], graphs: list[str]
) -> None:
    coremltools: Any = pytest.importorskip("coremltools", reason="the extra `coreml` is not installed")
    candidate = finished(tmp_path, use, inputs, args, outputs)
    if use not in CONVERTED:
        with pytest.raises(StageError, match="cannot be exported to CoreML: .*; another target may take it"):
            export_student(candidate, Asked("coreml", tmp_path / "out", unchecked=True), Facts())
        assert not (tmp_path / "out").exists()
        return
    made = export_student(candidate, Asked("coreml", tmp_path / "out", unchecked=True), Facts())
    for name, graph in made.graphs.items():
        spec = coremltools.models.MLModel(str(tmp_path / "out" / graph.file), skip_model_load=True).get_spec()
        assert [one.name for one in spec.description.input] == [one.name for one in graph.inputs], name
        assert [one.name for one in spec.description.output] == [one.name for one in graph.outputs], name
