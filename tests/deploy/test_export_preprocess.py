"""What an export brings along makes the inputs that the student was trained on, and says what it cannot take."""

import ast
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from teachercache.data.sample import decode_bytes
from teachercache.data.views.resize import plain
from teachercache.stages.deploy.export import preprocess
from teachercache.stages.deploy.export.manifest import read_export
from teachercache.stages.deploy.export.preprocess import BadInput, Preprocessing
from teachercache.stages.errors import StageError
from teachercache.stages.student.inputs.images import prepare_views
from teachercache.stages.student.inputs.spec import InputSpec
from teachercache.stages.tokenizer import load_tokenizer

TOKENIZER = Path(__file__).resolve().parents[2] / "data" / "samples" / "emoji-clip"
TEXT = {"kind": "text", "tokenizer": "tokenizer", "max_tokens": 8, "truncate": False, "padding": 0, "pad_to": None}


def reading(folder: Path, **inputs: dict[str, Any]) -> Preprocessing:
    (folder / "preprocessing.json").write_text(json.dumps({"format": 1, "inputs": inputs}))
    return Preprocessing(folder)


def image(channels: int, view: int, size: int) -> dict[str, Any]:
    mean, std = ([0.5], [0.25]) if channels == 1 else ([0.5, 0.4, 0.3], [0.2, 0.3, 0.4])
    return {"kind": "image", "channels": channels, "view": view, "size": size, "mean": mean, "std": std}


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(("channels", "view", "size"), [(3, 16, 16), (1, 16, 16), (3, 24, 16), (1, 8, 20)])
def test_images_are_what_students_were_trained_on(tmp_path: Path, channels: int, view: int, size: int) -> None:
    rng = np.random.default_rng(0)
    sides = [(20, 31, 3), (40, 17, 3), (16, 16, 3), (33, 25, 4), (18, 50)]
    files = [encoded(rng.integers(0, 256, side, np.uint8)) for side in sides]
    files.append(encoded(rng.integers(0, 65536, (21, 30)).astype(np.uint16)))
    settings = image(channels, view, size)
    views = np.stack([plain(decode_bytes(data, channels, "a test"), view) for data in files])
    spec = InputSpec(size=size, mean=tuple(settings["mean"]), std=tuple(settings["std"]))
    wanted = prepare_views(torch.from_numpy(views), spec).numpy()
    found = reading(tmp_path, pixel_values=settings).inputs({"pixel_values": files})["pixel_values"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-5)


def test_texts_are_tokens_padded_on_the_right_with_their_mask(tmp_path: Path) -> None:
    theirs = load_tokenizer(TOKENIZER, "a test")
    theirs.save_pretrained(tmp_path / "tokenizer")
    texts = ["cat", "red heart", "grinning face with big eyes"]
    prepare = reading(tmp_path, input_ids={**TEXT, "mask": "attention_mask"})
    found = prepare.inputs({"input_ids": texts})
    wanted = theirs(texts)["input_ids"]
    for row, ids in enumerate(wanted):
        assert found["input_ids"][row].tolist() == ids + [0] * (found["input_ids"].shape[1] - len(ids))
        assert found["attention_mask"][row].sum() == len(ids)
    fixed = reading(tmp_path, input_ids={**TEXT, "mask": "attention_mask", "pad_to": 8}).inputs({"input_ids": texts})
    assert fixed["input_ids"].shape == (3, 8)


def test_a_text_beyond_the_models_length_is_refused_or_cut(tmp_path: Path) -> None:
    load_tokenizer(TOKENIZER, "a test").save_pretrained(tmp_path / "tokenizer")
    long = ["cat", " ".join(["cat"] * 30)]
    with pytest.raises(BadInput, match=r"input_ids\[1\] has \d+ tokens, and the model reads 1 to 8: shorten it"):
        reading(tmp_path, input_ids={**TEXT, "mask": None}).inputs({"input_ids": long})
    cut = reading(tmp_path, input_ids={**TEXT, "mask": None, "truncate": True}).inputs({"input_ids": long})
    assert cut["input_ids"].shape == (2, 8)


@pytest.mark.parametrize("item", [b"no image", b"", np.zeros((4, 4), np.float32), "no/such/file.png"])
def test_what_is_no_image_is_refused(tmp_path: Path, item: Any) -> None:
    called = item if isinstance(item, str) else r"pixel_values\[0\]"
    with pytest.raises(BadInput, match=f"^{called}: no image that can be read"):
        reading(tmp_path, pixel_values=image(3, 8, 8)).inputs({"pixel_values": [item]})


def test_arrays_are_padded_with_their_lengths_and_refused_in_another_shape(tmp_path: Path) -> None:
    settings = {"kind": "array", "shape": [None, 2], "dtype": "float32", "max_tokens": 4, "truncate": False}
    prepare = reading(tmp_path, steps={**settings, "lengths": "steps_lengths", "pad_to": None})
    found = prepare.inputs({"steps": [np.ones((3, 2)), np.ones((1, 2))]})
    assert found["steps"].shape == (2, 3, 2) and found["steps_lengths"].tolist() == [3, 1]
    assert not found["steps"][1, 1:].any()
    for wrong, why in ((np.ones((2, 3)), "shape"), (np.ones((5, 2)), "5 places"), (np.full((1, 2), np.nan), "finite")):
        with pytest.raises(BadInput, match=why):
            prepare.inputs({"steps": [wrong]})
    np.save(tmp_path / "steps.npy", np.ones((2, 2)))
    (tmp_path / "none.npy").write_text("no array")
    assert prepare.inputs({"steps": [str(tmp_path / "steps.npy")]})["steps"].shape == (1, 2, 2)
    for name, why in (("none.npy", "Cannot load|pickle"), ("gone.npy", "No such file")):
        with pytest.raises(BadInput, match=rf"{name}: no .npy file that can be read \(.*({why})"):
            prepare.inputs({"steps": [tmp_path / name]})
    with pytest.raises(BadInput, match="takes no 'other'"):
        prepare.inputs({"other": [1]})


def test_the_copied_code_imports_nothing_of_the_project() -> None:
    tree = ast.parse(Path(preprocess.__file__).read_text())
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert all(not isinstance(node, ast.ImportFrom) or node.level == 0 for node in nodes)
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= {
        "io",
        "json",
        "collections",
        "pathlib",
        "typing",
        "numpy",
        "PIL",
        "tokenizers",
    }


@pytest.mark.parametrize(
    ("content", "why"), [("{", "cannot be read"), ('{"format": 9}', "format"), ('{"format": 1}', "damaged")]
)
def test_an_export_of_another_version_is_refused(tmp_path: Path, content: str, why: str) -> None:
    with pytest.raises(StageError, match="teachercache export"):
        read_export(tmp_path)
    (tmp_path / "export.json").write_text(content)
    with pytest.raises(StageError, match=why):
        read_export(tmp_path)
    shutil.rmtree(tmp_path)
