"""A teacher and its students as they can be run: in torch, and in ONNX Runtime. One pass is all graphs once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from teachercache.pipeline.config import Config
from teachercache.stages.deploy.evaluation.candidate import Candidate
from teachercache.stages.deploy.export.graphs import TorchGraph, student_graphs
from teachercache.stages.deploy.export.manifest import read_export
from teachercache.stages.deploy.export.probes import probe_inputs
from teachercache.stages.deploy.export.targets.onnx_file import write_onnx
from teachercache.stages.deploy.measuring.teacher_subject import teacher_subject
from teachercache.stages.deploy.runtimes.onnx import OnnxGraph
from teachercache.stages.student.inputs.shape import InputShape
from teachercache.stages.student.models.towers import has_towers

Answer = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


@dataclass(frozen=True, slots=True)
class Form:
    """`answer` gives what all graphs say of their inputs; `noise` is one row, its text as long as may be; `bytes` are
    those of the files that a device needs."""

    name: str
    answer: Answer
    noise: Mapping[str, Tensor]
    bytes: int


def in_torch(name: str, graphs: Mapping[str, TorchGraph], size: int) -> Form:
    """Graphs that are not exported."""

    def answer(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {output: values for graph in graphs.values() for output, values in graph.run(inputs).items()}

    return Form(name, answer, _noise(graphs), size)


def in_runtime(name: str, graphs: Mapping[str, TorchGraph], files: list[Path]) -> Form:
    """ONNX files of these graphs, float or int8, on one thread."""
    opened = [OnnxGraph(file, threads=1) for file in files]

    def answer(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        arrays = {name: values.numpy() for name, values in inputs.items()}
        return {output: torch.from_numpy(said) for graph in opened for output, said in graph(arrays).items()}

    return Form(name, answer, _noise(graphs), sum(file.stat().st_size for file in files))


def student_forms(candidate: Candidate, exports: Mapping[str, str]) -> list[Form]:
    """The checkpoint, and those of `exports` (form by folder below `export`) that are there."""
    graphs, student = student_graphs(candidate), candidate.saved.student.name
    forms = [in_torch(f"{student}, torch", graphs, candidate.bytes)]
    for folder, form in exports.items():
        place = candidate.folder / "export" / folder
        files = [place / graph.file for graph in read_export(place).graphs.values()]
        forms.append(in_runtime(f"{student}, {form}", graphs, files))
    return forms


def teacher_forms(config: Config, inputs: Mapping[str, InputShape], scratch: Path) -> list[Form]:
    """The teacher in torch and, written to `scratch`, in ONNX Runtime. `inputs` are those of its students."""
    graphs = _teacher_graphs(_teacher(config), inputs)
    files = [scratch / f"teacher-{name}.onnx" for name in graphs]
    for graph, file in zip(graphs.values(), files, strict=True):
        write_onnx(graph, file)
    runtime = in_runtime("teacher, ONNX", graphs, files)
    return [in_torch("teacher, torch", graphs, runtime.bytes), runtime]


def _noise(graphs: Mapping[str, TorchGraph]) -> dict[str, Tensor]:
    inputs = {name: shape for graph in graphs.values() for name, shape in graph.inputs.items()}
    return probe_inputs(inputs, 1, 0, fixed=True)


def _teacher(config: Config) -> nn.Module:
    source = next(iter(config.evaluate.named_sets.values())).model_dump(mode="json")
    view = [config.views.size, config.views.channels]
    request = {"teacher": config.teacher.model_dump(mode="json"), "source": source, "view": view}
    return teacher_subject(request, torch.device("cpu")).model.eval()


def _teacher_graphs(model: nn.Module, inputs: Mapping[str, InputShape]) -> dict[str, TorchGraph]:
    kinds = {shape.kind: name for name, shape in inputs.items()}
    image, tokens, mask = ({kinds[kind]: inputs[kinds[kind]]} for kind in ("image", "tokens", "mask"))
    if has_towers(model):
        return {
            "image": TorchGraph(_Called(model, _image_embeds), image, ("image_embeds",), False),
            "text": TorchGraph(_Called(model, _text_embeds), tokens | mask, ("text_embeds",), False),
        }
    return {"model": TorchGraph(_Called(model, _action), image | tokens, ("cell", "offset", "answer"), False)}


class _Called(nn.Module):
    """A model as a function of tensors, which the exporter wants to be given by place alone."""

    def __init__(self, model: nn.Module, call: Callable[..., tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.model, self.call = model, call

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        return self.call(self.model, *given)


def _image_embeds(model: Any, pixels: Tensor) -> tuple[Tensor, ...]:
    return (model.get_image_features(pixels).pooler_output,)


def _text_embeds(model: Any, ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
    return (model.get_text_features(ids, mask).pooler_output,)


def _action(model: Any, image: Tensor, tokens: Tensor) -> tuple[Tensor, ...]:
    said = model(image, tokens)
    return said["cell"], said["offset"], said["answer"]
