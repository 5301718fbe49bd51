"""`run.py` of an export says how it is called, and of what it cannot read one line that names the file."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from asked_models import write_onnx
from PIL import Image
from test_export_kinds import IMAGE, SIZE, finished

from teachercache.stages.deploy.export import preprocess
from teachercache.stages.deploy.export.export import Asked, export_student
from teachercache.stages.deploy.export.facts import Facts
from teachercache.stages.deploy.export.script import run_script

STEPS = {"inputs": {"pixel_values": {"kind": "image"}}}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with a good picture, and one whose file ends too early."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes((tmp_path / "good.png").read_bytes()[:300])
    return tmp_path


def said(folder: Path, place: Path, *words: str) -> tuple[int, str, list[str]]:
    """Exit code, what was printed, and the lines of errors; a library's own warnings are left out."""
    call = [sys.executable, "-W", "ignore", str(folder / "run.py"), *words]
    done = subprocess.run(call, capture_output=True, text=True, cwd=place, timeout=300)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, [line for line in done.stderr.splitlines() if ": " in line]


def check(folder: Path, pictures: Path) -> None:
    assert said(folder, pictures) == (2, "", ["usage: python run.py image.png"])
    for name in ("nope.png", "bad.png"):
        code, out, lines = said(folder, pictures, name)
        assert (code, out) == (2, "") and lines[-1].startswith(f"error: {name}: ")
    code, out, _ = said(folder, pictures, "good.png")
    assert code == 0 and out


def test_run_py_says_in_one_line_what_is_wrong(pictures: Path) -> None:
    pytest.importorskip("onnxruntime")
    folder = write_onnx(pictures / "onnx", np.ones((16, 3), np.float32))
    (folder / "run.py").write_text(run_script("onnx", STEPS))
    shutil.copyfile(preprocess.__file__, folder / "preprocess.py")
    check(folder, pictures)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["openvino", "litert", "hf"])
def test_run_py_of_other_targets_says_it_too(pictures: Path, target: str) -> None:
    if target != "hf":
        pytest.importorskip({"openvino": "openvino", "litert": "litert_torch"}[target])
    vit = {**SIZE, "patch_size": 8}
    candidate = finished(pictures / "students", "transformers:ViTConfig", IMAGE, vit, ("logits",))
    export_student(candidate, Asked(target, pictures / target), Facts())
    check(pictures / target, pictures)


def test_items_stand_by_name_where_a_script_tells_them_apart_by_it() -> None:
    steps = {"inputs": {"pixel_values": {"kind": "image"}, "input_ids": {"kind": "text"}}}
    assert 'usage: python run.py pixel_values=image.png input_ids="a text"\'' in run_script("onnx", steps)
    assert 'usage: python run.py image.png "a text"\'' in run_script("hf", steps)
