"""What a finished student is as graphs: one, or one a tower, each a torch module of plain tensors.

It refuses students that write texts: theirs, with a key-value cache from one token to the next, are made in `writers`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import StageError, StageFailed
from ...student.files.durable_files import read_json
from ...student.files.saved import load_student
from ...student.inputs.shape import InputShape, blank_inputs
from ...student.models.small.clip_conv_lstm import LARGEST, ClipConvLstm
from ..evaluation.candidate import Candidate

_EMBEDS = {"image": "image_embeds", "text": "text_embeds"}
_INSIDE = ("hidden", "attention", "qkv", "embedding")


@dataclass(frozen=True)
class TorchGraph:
    """`module` takes the tensors of `inputs` in order and returns a tuple of `outputs`. `fixed_length` where recurrent
    layers are unrolled over as many places as a row may have."""

    module: nn.Module
    inputs: Mapping[str, InputShape]
    outputs: tuple[str, ...]
    fixed_length: bool

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{output: values} of torch."""
        with torch.inference_mode():
            return dict(zip(self.outputs, self.module(*(inputs[name] for name in self.inputs)), strict=True))


class _Plain(nn.Module):
    """A student as a function of tensors. Inputs that its outputs do not hang on are blanks of one row."""

    def __init__(self, student: nn.Module, names: tuple[str, ...], outputs: tuple[str, ...], blanks: Mapping[str, Any]):
        super().__init__()
        self.student, self.names, self.outputs, self.blanks = student, names, outputs, dict(blanks)

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        found = self.student({**self.blanks, **dict(zip(self.names, given, strict=True))})
        return tuple(found[name] for name in self.outputs)


def answers(candidate: Candidate) -> tuple[str, ...]:
    """What a student is asked when nobody says otherwise: its outputs without what is heard of its inside."""
    outputs = candidate.saved.outputs
    if any(name in outputs for name in (*_EMBEDS.values(), "logits_per_image", "logits_per_text")):
        inputs = candidate.saved.shape.completed(candidate.saved.student).inputs
        kinds = {one.kind for one in inputs.values()}
        return tuple(_EMBEDS[part] for part, kind in (("image", "image"), ("text", "tokens")) if kind in kinds)
    plain = tuple(name for name in outputs if name.split(".")[0] not in _INSIDE and not name.startswith("exit."))
    return plain or tuple(name for name in outputs if name == "embedding") or outputs


def student_graphs(candidate: Candidate, outputs: tuple[str, ...] | None = None) -> dict[str, TorchGraph]:
    """{name: graph}: `image` and `text` where two towers are asked, else `model`. Raises StageError for outputs that
    the student does not have, and for one that writes texts."""
    asked = outputs or answers(candidate)
    if set(asked) == set(_EMBEDS.values()):
        return {part: _graph(candidate, (name,), part) for part, name in _EMBEDS.items()}
    return {"model": _graph(candidate, asked, None)}


def similarity(student: nn.Module) -> dict[str, float] | None:
    """Scale and bias that make logits of two towers' cosines; None for a student that has none."""
    inner: Any = getattr(student, "model", student)
    scale = getattr(inner, "logit_scale", None)
    if not isinstance(scale, Tensor):
        return None
    if isinstance(inner, ClipConvLstm):
        scale = scale.clamp(max=LARGEST)
    bias = getattr(inner, "logit_bias", None)
    return {"scale": float(scale.detach().exp()), "bias": float(bias.detach()) if isinstance(bias, Tensor) else 0.0}


def _graph(candidate: Candidate, outputs: tuple[str, ...], part: str | None) -> TorchGraph:
    shapes = candidate.saved.shape.completed(candidate.saved.student).inputs
    student = load_student(candidate.folder, outputs if (candidate.folder / "hf").is_dir() else None)
    _refuse_writers(candidate)
    kinds = {"image": ("image",), "text": ("tokens", "mask"), None: None}[part]
    inputs = {name: one for name, one in shapes.items() if kinds is None or one.kind in kinds}
    blanks = blank_inputs({name: one for name, one in shapes.items() if name not in inputs}, 1)
    module = _Plain(student, tuple(inputs), outputs, blanks).eval()
    recurrent = any(isinstance(one, nn.RNNBase) for one in student.modules())
    graph = TorchGraph(module, inputs, outputs, recurrent and part != "image")
    _check_outputs(graph, candidate)
    return graph


def writes(candidate: Candidate) -> bool:
    """Whether a student writes texts token by token, as its class says. Only models of transformers do."""
    config = read_json(candidate.folder / "hf" / "config.json") or {}
    if not config.get("architectures"):
        return False
    import transformers

    return bool(getattr(transformers, config["architectures"][0]).can_generate())


def _refuse_writers(candidate: Candidate) -> None:
    if writes(candidate):
        raise StageError(
            f"{candidate.folder} writes texts token by token, which needs graphs with a key-value cache: --to onnx "
            "makes them; `--to hf` gives a folder whose model generates with transformers"
        )


def _check_outputs(graph: TorchGraph, candidate: Candidate) -> None:
    """Raise StageError for outputs that are not there, and StageFailed for weights that make no numbers."""
    try:
        found = graph.run(blank_inputs(graph.inputs, 1))
    except KeyError as error:
        has = ", ".join(candidate.saved.outputs)
        raise StageError(f"{candidate.folder}: no output {error} in it; it was trained to give {has}") from None
    for name, values in found.items():
        if not bool(torch.isfinite(values).all()):
            raise StageFailed(
                f"{candidate.folder}: its {name} are no finite numbers even for a blank input; delete the folder to "
                "train that student anew, with a lower learning rate"
            )
