"""A graph as an ONNX file: torch's own (dynamo) exporter, opset 20, free batch and length.

It refuses operators that ONNX does not have. What the exporter notes beside the graph, stack traces of every node and
shapes of values in between, is left out: it is a megabyte, and quantising trips over the shapes.
"""

import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ....errors import StageError
from ...runtimes.extras import library
from ...runtimes.onnx import EXTRA, OnnxGraph
from ..graphs import TorchGraph
from ..manifest import GraphTensor
from ..probes import probe_inputs

OPSET = 20
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_DTYPES = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(bool)": "bool", "tensor(float16)": "float16"}


def write_onnx(graph: TorchGraph, file: Path) -> None:
    """Write a graph. Raises StageError for a missing library and for what ONNX cannot say."""
    example = probe_inputs(graph.inputs, 3, 0, fixed=True)
    write_module(graph.module, example, {name: _free(graph, name) for name in graph.inputs}, graph.outputs, file)


def write_module(
    module: torch.nn.Module,
    example: Mapping[str, torch.Tensor],
    free: Mapping[str, Mapping[int, Any]],
    outputs: Sequence[str],
    file: Path,
) -> None:
    """Write a module that takes the example's tensors in order. `free` are the axes of each that may differ, as torch
    calls them. Raises StageError as `write_onnx` does."""
    for needed in ("onnx", "onnxscript", "onnxruntime"):  # now, and not after minutes of export
        library(needed, EXTRA)
    with _quietly():
        try:
            program = torch.onnx.export(
                module,
                tuple(example.values()),
                input_names=list(example),
                output_names=list(outputs),
                dynamic_shapes=(tuple(free[name] for name in example),),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        except (
            Exception
        ) as error:  # the exporter raises its own kinds for its three steps, and any other of the model's
            raise StageError(f"this student cannot be exported to ONNX: {reason(error)}") from error
    assert program is not None
    save_bare(program.model_proto, file)


def save_bare(model: Any, file: Path) -> None:
    """Write a model without notes on its nodes and on values in between."""
    onnx = library("onnx", EXTRA)
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.value_info[:]
    del model.graph.metadata_props[:]
    for function in model.functions:
        for node in function.node:
            del node.metadata_props[:]
    onnx.save(model, file)


def _free(graph: TorchGraph, name: str) -> dict[int, Any]:
    """The axes of an input that may differ: the batch, and the length where rows have one."""
    shape = graph.inputs[name]
    free = {0: torch.export.Dim("batch")}
    if shape.shape[:1] == (None,) and not graph.fixed_length:
        free[1] = torch.export.Dim("length", min=1, max=shape.longest)
    return free


def reason(error: BaseException) -> str:
    """The one line that says what went wrong: the innermost cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no reason was given'}"


@contextmanager
def _quietly() -> Iterator[None]:
    """The exporter warns of torch's own inside, and logs that torchvision is absent, which is as it should be here."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def onnx_ends(graph: TorchGraph, file: Path) -> tuple[tuple[GraphTensor, ...], tuple[GraphTensor, ...]]:
    """Inputs and outputs of the graph that `file` holds."""
    return file_ends(file)


def file_ends(file: Path) -> tuple[tuple[GraphTensor, ...], tuple[GraphTensor, ...]]:
    """Inputs and outputs as the file itself says them."""
    session = OnnxGraph(file).session
    inputs, outputs = (
        tuple(GraphTensor(one.name, _DTYPES.get(one.type, one.type), tuple(one.shape)) for one in side)
        for side in (session.get_inputs(), session.get_outputs())
    )
    return inputs, outputs
