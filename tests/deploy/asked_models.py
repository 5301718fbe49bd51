"""Models to ask, made by the real code: the shipped CLIP as a finished student, and a tiny exported folder of ONNX."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from teachercache.stages.student.files.saved import save_student
from teachercache.stages.student.inputs.shape import InputShape
from teachercache.stages.student.inputs.texts import open_texts
from teachercache.stages.student.models.builders import StudentShape, build_student
from teachercache.stages.student.spec import StudentSpec
from teachercache.stages.student.trial.trial import Trial

ROOT = Path(__file__).resolve().parents[2]
CLIP = ROOT / "data" / "samples" / "emoji-clip"
OUTPUTS = ("image_embeds", "text_embeds")


def save_clip(students: Path, model: Path = CLIP, tokenizer: Path = CLIP) -> Path:
    """A finished student of two towers that says what `model` says: nothing is cut from it, and nothing trained."""
    inputs: dict[str, Any] = {
        "pixel_values": {"image": {"size": 32}},
        "input_ids": {"text": "caption", "tokenizer": str(tokenizer), "max_tokens": 16},
    }
    objective = [{"loss": "cosine", "signal": name, "output": name} for name in OUTPUTS]
    settings = {"name": "clip", "use": f"pretrained:{model}", "inputs": inputs, "objective": objective}
    trial = Trial(StudentSpec.model_validate(settings), "distilled", 0, OUTPUTS)
    text = open_texts(trial.student.takes["input_ids"], "test").shape
    shape = StudentShape(0, 3, 32, {"input_ids": text, "attention_mask": InputShape("mask", (None,), "int64", 16)})
    folder = trial.folder(students)
    folder.mkdir(parents=True)
    save_student(folder, trial, build_student(trial.student, shape, OUTPUTS, 0), shape, 10, 0.5)
    return folder


def write_onnx(folder: Path, weight: np.ndarray, broken: bool = False, precision: str = "float32") -> Path:
    """An exported classifier on grey pictures of 4 x 4: logits = pixels @ weight (16, classes); `broken` gives NaN."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Flatten", ["pixel_values"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["product"]),
        helper.make_node("Sqrt" if broken else "Identity", ["product"], ["logits"]),
    ]
    takes = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 1, 4, 4])
    gives = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", weight.shape[1]])
    graph = helper.make_graph(nodes, "tiny", [takes], [gives], [numpy_helper.from_array(weight, "weight")])
    folder.mkdir(parents=True)
    opset = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), folder / "model.onnx")
    shape = [{"name": "pixel_values", "dtype": "float32", "shape": ["batch", 1, 4, 4]}]
    said = [{"name": "logits", "dtype": "float32", "shape": ["batch", weight.shape[1]]}]
    size = (folder / "model.onnx").stat().st_size
    graphs = {"model": {"file": "model.onnx", "bytes": size, "xxh3": "", "inputs": shape, "outputs": said}}
    student = {"name": "tiny", "use": "cnn", "arm": "distilled", "seed": 0, "weights": "abc", "parameters": 48}
    export = {"format": 1, "target": "onnx", "precision": precision, "kind": "classifier", "graphs": graphs}
    export |= {"student": student, "check": {}, "versions": {}}
    (folder / "export.json").write_text(json.dumps(export))
    image = {"kind": "image", "channels": 1, "view": 4, "size": 4, "mean": [0.5], "std": [0.5]}
    (folder / "preprocessing.json").write_text(json.dumps({"format": 1, "inputs": {"pixel_values": image}}))
    (folder / "labels.json").write_text(json.dumps([f"class {number}" for number in range(weight.shape[1])]))
    return folder
