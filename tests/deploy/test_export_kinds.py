"""Every kind of student as an export: graphs of images, texts, pairs and sequences, and folders for transformers."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from teachercache.stages.deploy.evaluation.candidate import Candidate, read_candidate
from teachercache.stages.deploy.export.export import Asked, export_student
from teachercache.stages.deploy.export.facts import Facts
from teachercache.stages.deploy.export.manifest import read_export
from teachercache.stages.deploy.export.rows import RealRows
from teachercache.stages.deploy.predict import open_predictor
from teachercache.stages.deploy.quantise.export_int8 import Int8, export_int8
from teachercache.stages.errors import StageError, StageFailed
from teachercache.stages.student.files.saved import load_student, save_student
from teachercache.stages.student.inputs.columns import companion
from teachercache.stages.student.inputs.shape import InputShape
from teachercache.stages.student.inputs.spec import InputSource
from teachercache.stages.student.inputs.texts import open_texts
from teachercache.stages.student.models.builders import StudentShape, build_student
from teachercache.stages.student.spec import StudentSpec
from teachercache.stages.student.trial.trial import Trial

pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
TOKENIZER = str(Path(__file__).resolve().parents[2] / "data" / "samples" / "emoji-clip")
IMAGE = {"pixel_values": {"image": {}}}
TEXT = {"input_ids": {"text": "caption", "tokenizer": TOKENIZER, "max_tokens": 8}}
STEPS = {"steps": {"array": "steps", "max_tokens": 6}}
VOLUME = {"volume": {"array": "volume", "max_tokens": 5}}
ARRAYS = {
    "steps": InputShape("array", (None, 3), "float32", 6),
    "volume": InputShape("array", (None, 8, 8), "float32", 5),
}
SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
POSITIONS = {"max_position_embeddings": 8}
CLIP = {
    "text_config": {**SIZE, **POSITIONS, "bos_token_id": 2, "eos_token_id": 3},
    "vision_config": {**SIZE, "patch_size": 8},
    "projection_dim": 6,
}
SIGLIP = {"text_config": {**SIZE, **POSITIONS}, "vision_config": {**SIZE, "patch_size": 8}}
PAIR = ("image_embeds", "text_embeds")


def finished(
    folder: Path,
    use: str,
    inputs: dict[str, Any],
    args: dict[str, Any],
    outputs: tuple[str, ...],
    channels: int = 3,
    task: str | None = None,
) -> Candidate:
    """A finished student of seven classes with random weights."""
    terms = [{"loss": "mse", "output": name, "signal": name} for name in outputs]
    spec = StudentSpec.model_validate(
        {"name": "tiny", "use": use, "args": args, "inputs": inputs, "objective": terms, "task": task}
    )
    shapes: dict[str, InputShape] = {}
    for name, source in spec.takes.items():
        if source.image is None:
            shape = ARRAYS[name] if source.array else open_texts(source, name).shape
            shapes[name] = shape
            shapes |= _beside(name, source, shape)
    shape, trial = StudentShape(7, channels, 16, shapes), Trial(spec, "distilled", 0, judged=())
    place = trial.folder(folder)
    place.mkdir(parents=True)
    save_student(place, trial, build_student(spec, shape, outputs, 0), shape, 1, 0.1)
    return read_candidate(place)


def _beside(name: str, source: InputSource, shape: InputShape) -> dict[str, InputShape]:
    beside = companion(name, source)
    if beside is None:
        return {}
    kind: Any = ("mask", (None,)) if source.text else ("lengths", ())
    return {beside: InputShape(*kind, "int64", shape.longest)}


ODD = (  # a student of an operator that few formats have
    "import torch\n"
    "class Odd(torch.nn.Module):\n"
    "    def __init__(self, classes):\n"
    "        super().__init__()\n"
    "        self.head = torch.nn.Linear(3, classes)\n"
    "    def forward(self, inputs):\n"
    "        means = inputs['pixel_values'].mean(dim=(2, 3))\n"
    "        return {'logits': self.head(torch.linalg.eigvalsh(means[:, :, None] * means[:, None, :]))}\n"
)
CASES: list[tuple[str, dict[str, Any], dict[str, Any], tuple[str, ...], list[str]]] = [
    ("transformers:ViTConfig", IMAGE, {**SIZE, "patch_size": 8}, ("logits",), ["model"]),
    ("transformers:BertConfig", TEXT, {**SIZE, **POSITIONS}, ("logits",), ["model"]),
    ("transformers:CLIPConfig", {**IMAGE, **TEXT}, CLIP, PAIR, ["image", "text"]),
    ("transformers:SiglipConfig", {**IMAGE, **TEXT}, SIGLIP, PAIR, ["image", "text"]),
    ("clip-conv-lstm", {**IMAGE, **TEXT}, {}, PAIR, ["image", "text"]),
    ("lstm", STEPS, {}, ("logits",), ["model"]),
    ("lstm", TEXT, {}, ("logits",), ["model"]),
    ("slices", VOLUME, {}, ("logits",), ["model"]),
    ("multimodal", {**IMAGE, **TEXT}, {}, ("logits",), ["model"]),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("use", "inputs", "args", "outputs", "graphs"), CASES, ids=[f"{c[0]}-{len(c[1])}" for c in CASES]
)
def test_a_student_of_any_kind_runs_without_torch(
    tmp_path: Path, use: str, inputs: dict[str, Any], args: dict[str, Any], outputs: tuple[str, ...], graphs: list[str]
) -> None:
    candidate = finished(tmp_path, use, inputs, args, outputs)
    made = export_student(candidate, Asked("onnx", tmp_path / "out"), Facts())
    assert list(made.graphs) == graphs and made.check["largest_difference"] <= 1e-4
    assert read_export(tmp_path / "out") == made
    Image.fromarray(np.zeros((20, 16, 3), np.uint8)).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", np.ones((3, 8, 8) if "volume" in inputs else (3, 3), np.float32))
    words = {"image": "a.png", "text": "red heart", "array": "a.npy"}
    given = [f"{name}={words[next(iter(one))]}" for name, one in inputs.items()]
    block = "import sys, runpy; sys.modules.update(torch=None, teachercache=None, transformers=None); "
    code = block + f"sys.path.insert(0, {str(tmp_path / 'out')!r}); sys.argv = ['run.py', *{given!r}]; "
    code += f"runpy.run_path({str(tmp_path / 'out' / 'run.py')!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split("\n")) == len(outputs) + 1


@pytest.mark.slow
def test_towers_say_how_their_cosines_become_logits(tmp_path: Path) -> None:
    candidate = finished(tmp_path, "transformers:SiglipConfig", {**IMAGE, **TEXT}, SIGLIP, PAIR)
    made = export_student(candidate, Asked("web", tmp_path / "out"), Facts())
    model: Any = load_student(candidate.folder)
    assert made.similarity is not None
    assert made.similarity["scale"] == pytest.approx(float(model.model.logit_scale.detach().exp()))
    assert made.similarity["bias"] == pytest.approx(float(model.model.logit_bias.detach()))
    assert json.loads((tmp_path / "out" / "web.json").read_text())["exported"]["kind"] == "two-towers"


@pytest.mark.slow
def test_a_transformer_is_quantised_dynamically_and_judged(tmp_path: Path) -> None:
    candidate = finished(tmp_path, "transformers:ViTConfig", IMAGE, {**SIZE, "patch_size": 8}, ("logits",))
    rng = np.random.default_rng(0)
    rows = RealRows({"pixel_values": rng.standard_normal((70, 3, 16, 16)).astype(np.float32)}, np.zeros(70, np.int64))
    made = export_int8(candidate, Asked("onnx", tmp_path / "out"), Facts(), Int8(rows, least_agreement=0.5))
    found = made.quantisation
    assert found is not None and found["way"] == "dynamic" and found["rows_judged"] == 70
    assert made.precision == "int8" and made.bytes < found["float_bytes"] and found["agreement"] >= 0.5
    with pytest.raises(StageFailed, match="and 1.1 is the least; nothing was written"):
        export_int8(candidate, Asked("onnx", tmp_path / "other"), Facts(), Int8(rows, least_agreement=1.1))
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_what_onnx_cannot_say_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "odd_students.py").write_text(ODD)
    monkeypatch.syspath_prepend(str(tmp_path))
    candidate = finished(tmp_path, "odd_students:Odd", IMAGE, {}, ("logits",))
    with pytest.raises(StageError, match="cannot be exported to ONNX: .*eigh"):
        export_student(candidate, Asked("onnx", tmp_path / "out"), Facts())
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3])
def test_transformers_loads_a_student_without_this_project(tmp_path: Path, channels: int) -> None:
    labels = tuple("abcdefg")
    candidate = finished(tmp_path, "transformers:ViTConfig", IMAGE, {**SIZE, "patch_size": 8}, ("logits",), channels)
    made = export_student(candidate, Asked("hf", tmp_path / "hf"), Facts(labels=labels))
    assert made.load is not None and made.load["weight_bytes"] <= made.bytes
    picture = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    values = (torch.from_numpy(picture)[None, None].float() / 255 - 0.5) / 0.5
    with torch.inference_mode():
        shares = load_student(candidate.folder)({"pixel_values": values.expand(1, channels, 16, 16)})["logits"].softmax(
            1
        )
    code = (
        "import sys, json; sys.modules['teachercache'] = None\n"
        "from transformers import AutoModel, pipeline\n"
        "AutoModel.from_pretrained(sys.argv[1])\n"
        "print(json.dumps(pipeline('image-classification', model=sys.argv[1])(sys.argv[2])))"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "hf"), str(tmp_path / "a.png")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    best = json.loads(done.stdout.splitlines()[-1])[0]
    assert best["label"] == labels[int(shares.argmax())]
    assert best["score"] == pytest.approx(float(shares.max()), abs=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3])
def test_transformers_matches_pictures_and_texts_without_this_project(tmp_path: Path, channels: int) -> None:
    candidate = finished(tmp_path, "transformers:CLIPConfig", {**IMAGE, **TEXT}, CLIP, PAIR, channels)
    made = export_student(candidate, Asked("hf", tmp_path / "hf"), Facts())
    assert made.load is not None and made.load["task"] == "zero-shot-image-classification"
    picture = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    texts = ["red heart", "a blue car", "tree"]
    asked = open_predictor(candidate.folder)
    image = asked.predict(picture)["image_embeds"]
    words = asked.predict(texts, kind="text")["text_embeds"]
    cosines = (words @ image) / np.linalg.norm(words, axis=1) / np.linalg.norm(image)
    assert made.similarity is not None
    shares = np.exp(made.similarity["scale"] * cosines)
    code = (
        "import sys, json; sys.modules['teachercache'] = None\n"
        "from transformers import AutoModel, pipeline\n"
        "folder, picture, *texts = sys.argv[1:]\n"
        "assert type(AutoModel.from_pretrained(folder)).__name__ == 'CLIPModel'\n"
        "ask = pipeline('zero-shot-image-classification', model=folder)\n"
        "print(json.dumps(ask(picture, candidate_labels=texts, hypothesis_template='{}')))"
    )
    call = [sys.executable, "-c", code, str(tmp_path / "hf"), str(tmp_path / "a.png"), *texts]
    done = subprocess.run(call, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = {one["label"]: one["score"] for one in json.loads(done.stdout.splitlines()[-1])}
    wanted = dict(zip(texts, (shares / shares.sum()).tolist(), strict=True))
    assert max(wanted.values()) - min(wanted.values()) > 0.01
    assert found == pytest.approx(wanted, abs=2e-3)
    script = [sys.executable, str(tmp_path / "hf" / "run.py"), str(tmp_path / "a.png"), *texts]
    done = subprocess.run(script, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and str(max(wanted, key=wanted.__getitem__)) in done.stdout, done.stderr
