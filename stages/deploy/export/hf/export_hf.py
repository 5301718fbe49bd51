"""A transformers student as a folder that transformers loads without this project: `AutoModel`, and `pipeline()` where
there is one for it.

A model that reads grey images becomes one that reads RGB, because `pipeline()` hands over nothing else: its first
weights are spread over the channels as the grey of an RGB image is made (ITU-R BT.601). Weights are saved in shards,
and loading them in a process of its own says what memory that takes. It refuses students that are no models of
transformers.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ....capture.points import parse_point
from ....errors import StageError
from ....student.files.saved import load_student
from ....student.inputs.shape import InputShape
from ....student.models.image_before_text import ImageBeforeText, reads_images_as_text
from ....student.models.transformers_student import TransformersStudent
from ....versions import library_versions
from ...evaluation.candidate import Candidate
from ..check import BATCHES, TOLERANCE, require_close
from ..export import finish, student_facts
from ..facts import Facts
from ..folder import files_xxh3, new_folder
from ..graphs import similarity
from ..manifest import Exported, Graph
from ..probes import probe_inputs
from .load import loading
from .processor import write_processor

SHARD = "2GB"
_LUMA = (0.299, 0.587, 0.114)
# SigLIP has a pipeline too, which fills every text up to 64 tokens: not for a student that reads other lengths.
_PIPELINES = {
    "ForImageClassification": "image-classification",
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForMaskedLM": "fill-mask",
    "ForCausalLM": "text-generation",
    "CLIPModel": "zero-shot-image-classification",
}


def export_hf(candidate: Candidate, out: Path, facts: Facts, anew: bool, shard: str = SHARD) -> Exported:
    """Write `out`. `shard` is the most that one file of weights holds. Raises StageError for a student of another kind,
    for images that are resized twice, and when the folder's model says something else."""
    student = load_student(candidate.folder)
    if not isinstance(student, TransformersStudent):
        raise StageError(
            f"{candidate.folder}: {candidate.saved.student.use} is no model of transformers, which could not load it; "
            "--to onnx exports it"
        )
    model: Any = student.model
    before = _said(model, candidate, grey=False)
    _name_labels(model, facts, candidate)
    grey = _reads_rgb(model)
    with new_folder(out, anew) as folder:
        model.save_pretrained(folder, max_shard_size=shard)
        write_processor(candidate.saved, folder)
        difference = _checked(type(model).from_pretrained(folder).eval(), before, candidate, grey, out)
        files = sorted(folder.glob("model*.safetensors"))
        size = sum(file.stat().st_size for file in files)
        graph = Graph(
            files[0].name if len(files) == 1 else "model.safetensors.index.json", size, files_xxh3(files), (), ()
        )
        exported = Exported(
            target="hf",
            precision="float32",
            kind=_kind(model),
            student=student_facts(candidate, student),
            graphs={"model": graph},
            check={"batches": list(BATCHES), "tolerance": TOLERANCE, "largest_difference": difference},
            versions=library_versions(),
            cache=facts.cache,
            similarity=similarity(student),
            load={"task": _task(model), "shards": len(files), **loading(folder, type(model).__name__)},
            generation=_generation(model, candidate, grey),
        )
        finish(folder, exported, candidate, facts, False)
    return exported


def _kind(model: Any) -> str:
    if "Classification" in type(model).__name__:
        return "classifier"
    return "writer" if model.can_generate() else "outputs"


def _generation(model: Any, candidate: Candidate, grey: bool) -> dict[str, Any] | None:
    """Of a model that reads an image before a text, which no pipeline asks as it was trained: `image_tokens` in a row,
    the token `image_token` that stands for each, and whether images have an axis of their own (`several_images`)."""
    if not reads_images_as_text(model):
        return None
    shapes = candidate.saved.shape.completed(candidate.saved.student).inputs
    form = ImageBeforeText(model, [], _colours(shapes, grey))
    return {"image_tokens": form.image_tokens, "image_token": form.image_token, "several_images": form.several_images}


def _name_labels(model: Any, facts: Facts, candidate: Candidate) -> None:
    """The names of the classes in the config, which pipeline() answers with."""
    if facts.labels is not None and getattr(model.config, "num_labels", 0) == len(facts.labels):
        model.config.id2label = dict(enumerate(facts.labels))
        model.config.label2id = {name: number for number, name in enumerate(facts.labels)}


def _reads_rgb(model: Any) -> bool:
    """Make a model of grey images one of RGB; whether it was one."""
    configs = [one for one in (model.config, getattr(model.config, "vision_config", None)) if one is not None]
    if not any(getattr(one, "num_channels", None) == 1 for one in configs):
        return False
    first = next(one for one in model.modules() if isinstance(one, nn.Conv2d) and one.in_channels == 1)
    luma = torch.tensor(_LUMA).reshape(1, 3, 1, 1)
    first.weight = nn.Parameter(first.weight.detach() * luma)
    first.in_channels = 3
    for one in configs:
        if getattr(one, "num_channels", None) == 1:
            one.num_channels = 3
    for module in model.modules():
        if getattr(module, "num_channels", None) == 1:
            module.num_channels = 3
    return True


def _said(model: Any, candidate: Candidate, grey: bool) -> list[Mapping[str, np.ndarray]]:
    """What the model itself says of probes, at every batch. With `grey` it reads RGB, and is shown grey images."""
    shapes = candidate.saved.shape.completed(candidate.saved.student).inputs
    ask = _asked(model, shapes, grey)
    return [_ask(ask, probe_inputs(shapes, batch, batch), grey) for batch in BATCHES]


def _ask(ask: Callable[..., Any], inputs: Mapping[str, Tensor], grey: bool) -> dict[str, np.ndarray]:
    given = {name: v.expand(-1, 3, -1, -1) if grey and name == "pixel_values" else v for name, v in inputs.items()}
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = ask(**given)
    return {name: value.numpy() for name, value in found.items() if isinstance(value, Tensor)}


def _asked(model: Any, shapes: Mapping[str, InputShape], grey: bool) -> Callable[..., Any]:
    """The model as it is called: one that reads an image before a text is given the image's tokens too."""
    if not reads_images_as_text(model):
        return model  # type: ignore[no-any-return]
    form = ImageBeforeText(model, [parse_point("logits")], _colours(shapes, grey))
    return lambda **given: form(given)


def _colours(shapes: Mapping[str, InputShape], grey: bool) -> dict[str, InputShape]:
    return {
        name: replace(one, shape=(3, *one.shape[1:])) if grey and one.kind == "image" else one
        for name, one in shapes.items()
    }


def _checked(model: Any, before: list[Mapping[str, np.ndarray]], candidate: Candidate, grey: bool, out: Path) -> float:
    after = _said(model, candidate, grey)
    return max(require_close(b, a, TOLERANCE, out.name) for a, b in zip(before, after, strict=True))


def _task(model: Any) -> str | None:
    return next((task for end, task in _PIPELINES.items() if type(model).__name__.endswith(end)), None)
