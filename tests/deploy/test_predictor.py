"""A predictor says what evaluation would say, takes what users have, batches what waits, and refuses the rest."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from asked_models import CLIP, save_clip, write_onnx
from PIL import Image

from teachercache.data import DataError
from teachercache.data.views.resize import plain
from teachercache.stages.deploy.predict import Predictor, open_predictor
from teachercache.stages.deploy.predict.classes import likeliest
from teachercache.stages.deploy.predict.reading import ImageReading, Reading
from teachercache.stages.errors import StageError
from teachercache.stages.student.files.saved import load_student
from teachercache.stages.student.inputs.images import prepare_views
from teachercache.stages.student.inputs.spec import InputSpec

Save = Callable[..., Path]
RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (20, 24, 3), dtype=np.uint8)
WEIGHT = RNG.normal(size=(16, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("clip"))


class Counting:
    """A model that notes its batches; `gate` holds it up."""

    place, classes = "counting", ()
    readings: Mapping[str, Reading] = {"pixel_values": ImageReading(4, 1, 4)}

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.gate, self.entered = threading.Event(), threading.Event()
        self.gate.set()

    def outputs(self, given: frozenset[str]) -> tuple[str, ...]:
        return ("mean",)

    def run(self, inputs: Mapping[str, np.ndarray], given: frozenset[str]) -> Mapping[str, np.ndarray]:
        self.entered.set()
        assert self.gate.wait(30)
        values = inputs["pixel_values"]
        self.batches.append(len(values))
        if values.max() > 0.9:
            raise ValueError("too bright")
        return {"mean": values.mean(axis=(1, 2, 3))}


def grey(value: int) -> np.ndarray:
    return np.full((4, 4), value, np.uint8)


def test_a_checkpoint_says_what_it_says_in_evaluation(save: Save, tmp_path: Path) -> None:
    folder = save(tmp_path, input=InputSpec(size=12))
    view = torch.from_numpy(plain(PICTURE, 16)[None].copy())
    want = load_student(folder)({"pixel_values": prepare_views(view, InputSpec(size=12))})
    said = open_predictor(folder).predict(PICTURE)
    np.testing.assert_allclose(said["logits"], want["logits"][0].detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("form", ["path", "str", "bytes", "pil", "array"])
def test_a_picture_is_the_same_in_every_form(form: str, save: Save, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(PICTURE).save(path)
    forms: dict[str, Any] = {
        "path": path, "str": str(path), "bytes": path.read_bytes(), "pil": Image.fromarray(PICTURE), "array": PICTURE
    }  # fmt: skip
    predictor = open_predictor(save(tmp_path / "students"))
    many = predictor.predict([forms[form], PICTURE[::-1].copy(), forms[form]])
    one = predictor.predict(forms[form])
    np.testing.assert_allclose(many["logits"][[0, 2]], np.stack([predictor.predict(PICTURE)["logits"]] * 2), atol=1e-5)
    assert one["logits"].shape == (7,) and many["logits"].shape == (3, 7)


def test_an_export_is_asked_without_torch(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    folder = write_onnx(tmp_path / "export", WEIGHT)
    code = (
        "import sys, numpy\nfrom teachercache.stages.deploy.predict import open_predictor\n"
        f"open_predictor({str(folder)!r}).predict(numpy.zeros((4, 4), numpy.uint8))\n"
        "import teachercache.stages.deploy.apps.serving.server, teachercache.stages.deploy.apps.search.page\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout == "False\n", done.stderr
    said = open_predictor(folder, threads=1).predict([grey(0), grey(255)])
    np.testing.assert_allclose(said["logits"], np.stack([-WEIGHT.sum(axis=0), WEIGHT.sum(axis=0)]), rtol=1e-5)


def test_each_tower_is_asked_alone(clip: Path) -> None:
    predictor = open_predictor(clip)
    said = predictor.predict(["red apple", "a picture of a red apple"], kind="text")
    assert set(said) == {"text_embeds"} and said["text_embeds"].shape == (2, 128)
    alone = predictor.predict("red apple", kind="text")["text_embeds"]
    np.testing.assert_allclose(alone, said["text_embeds"][0], atol=1e-5)
    assert set(predictor.predict(PICTURE)) == {"image_embeds"}
    assert set(predictor.predict({"image": PICTURE, "text": "red apple"})) == {"image_embeds", "text_embeds"}
    with pytest.raises(StageError, match="may be a text or the path of a picture"):
        predictor.predict("red apple")
    with pytest.raises(StageError, match="has 21 tokens, and 16 are the most"):
        predictor.predict(" ".join(["apple"] * 19), kind="text")


def test_what_waits_becomes_one_batch_and_a_lone_request_does_not_wait() -> None:
    model = Counting()
    predictor, said = Predictor(model, batch_size=8), {}
    predictor.predict(grey(1))
    assert model.batches == [1]
    model.gate.clear()
    model.entered.clear()

    def ask(value: int) -> None:
        said[value] = float(predictor.predict(grey(value))["mean"])

    threads = [threading.Thread(target=ask, args=(value,)) for value in range(10, 20)]
    threads[0].start()
    assert model.entered.wait(30)
    for thread in threads[1:]:
        thread.start()
    while len(predictor._queue._rows) < 9:  # nine are in line behind the one that runs
        pass
    model.gate.set()
    for thread in threads:
        thread.join(30)
    assert model.batches == [1, 1, 8, 1]
    assert said == {value: pytest.approx(value / 127.5 - 1, abs=1e-6) for value in range(10, 20)}


def test_the_guilty_item_alone_fails() -> None:
    model, good = Counting(), []
    predictor = Predictor(model)
    model.gate.clear()
    threads = [threading.Thread(target=lambda: good.append(predictor.predict(grey(3)))) for _ in range(4)]
    threads[0].start()
    assert model.entered.wait(30)
    for thread in threads[1:]:
        thread.start()
    failures: list[Exception] = []

    def fail() -> None:
        try:
            predictor.predict(grey(255))
        except StageError as error:
            failures.append(error)

    guilty = threading.Thread(target=fail)
    guilty.start()
    while len(predictor._queue._rows) < 4:
        pass
    model.gate.set()
    for thread in [*threads, guilty]:
        thread.join(30)
    assert len(good) == 4 and "item 0 with ValueError: too bright" in str(failures[0])


def test_an_interrupted_thread_leaves_its_batch_to_the_others() -> None:
    class Interrupted(Counting):
        def run(self, inputs: Mapping[str, np.ndarray], given: frozenset[str]) -> Mapping[str, np.ndarray]:
            if not self.batches:
                self.batches.append(0)
                raise KeyboardInterrupt
            return super().run(inputs, given)

    predictor = Predictor(Interrupted())
    with pytest.raises(KeyboardInterrupt):
        predictor.predict(grey(1))
    assert float(predictor.predict(grey(51))["mean"]) == pytest.approx(-0.6)


def test_outputs_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    predictor = open_predictor(write_onnx(tmp_path / "broken", np.ones((16, 2), np.float32), broken=True))
    with pytest.raises(StageError, match="output 'logits' of item 1 is not finite"):
        predictor.predict([grey(255), grey(0)])


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("text.png", "text.png: its 4 bytes are none of PNG"),
        ("missing.png", "missing.png cannot be read"),
        (None, "item 0 is None"),
        (3, "a picture is a path"),
        (np.zeros((4, 4)), "not float64"),
        (np.zeros((0, 4), np.uint8), "a picture as an array"),
        ({"sound": 1}, "has no inputs for 'sound'"),
        ([], "the list of items is empty"),
    ],
)
def test_what_is_no_picture_is_refused(item: Any, message: str, tmp_path: Path, save: Save) -> None:
    (tmp_path / "text.png").write_text("text")
    item = tmp_path / item if isinstance(item, str) else item
    with pytest.raises((StageError, DataError), match=message):
        open_predictor(save(tmp_path / "students")).predict(item)


def test_folders_that_hold_no_model_of_this_version_are_refused(save: Save, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="holds neither a finished student"):
        open_predictor(tmp_path)
    folder = save(tmp_path / "students")
    document = json.loads((folder / "student.json").read_text())
    (folder / "student.json").write_text(json.dumps({**document, "format": 2}))
    with pytest.raises(StageError, match="is of format 2, and this version reads 1"):
        open_predictor(folder)
    (tmp_path / "export.json").write_text('{"format": 7}')
    with pytest.raises(StageError, match="is of format 7"):
        open_predictor(tmp_path)


def test_a_missing_runtime_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx")
    folder = write_onnx(tmp_path / "export", WEIGHT)
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(StageError, match=r"pip install 'teachercache\[export\]'"):
        open_predictor(folder)


def test_another_tokenizer_is_refused(clip: Path, tmp_path: Path) -> None:
    other = tmp_path / "tokenizer"
    other.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (other / name).write_bytes((CLIP / name).read_bytes() + b"\n")
    document = json.loads((clip / "student.json").read_text())
    document["student"]["inputs"]["input_ids"]["tokenizer"] = str(other)
    changed = tmp_path / "student"
    changed.mkdir()
    (changed / "student.json").write_text(json.dumps(document))
    (changed / "student.safetensors").write_bytes((clip / "student.safetensors").read_bytes())
    with pytest.raises(StageError, match="is not the one that this student was trained with"):
        open_predictor(changed)


def test_the_likeliest_classes_have_their_probabilities() -> None:
    found = likeliest(np.log(np.array([0.2, 0.5, 0.3])), ("cat", "dog"), 2)
    assert [(one.name, round(one.probability, 6)) for one in found] == [("dog", 0.5), ("2", 0.3)]


def test_predict_prints_json(run: Callable[..., str], save: Save, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.fromarray(PICTURE).save(tmp_path / "photos" / "one.png")
    folder = save(tmp_path / "students")
    (found,) = json.loads(run("predict", folder, tmp_path / "photos", "--json", "--top", 2))
    assert found["item"].endswith("one.png") and len(found["classes"]) == 2
    np.testing.assert_allclose(found["outputs"]["logits"], open_predictor(folder).predict(PICTURE)["logits"], atol=1e-5)
    assert "one.png" in run("predict", folder, tmp_path / "photos")
    assert "there is no file or folder nowhere.png" in run("predict", folder, "nowhere.png", code=2)
