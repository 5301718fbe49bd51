"""A graph as an ExecuTorch program (.pte) for XNNPACK: torch.export, a free batch up to 32, a free length.

ExecuTorch fixes the batch of some students to that of the example; theirs take one row, and are run row by row. It
refuses operators that ExecuTorch does not have, and outputs that have their rows in another place than first, which a
runtime could not put together again.
"""

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ....errors import StageError
from ....student.inputs.shape import blank_inputs
from ...runtimes.executorch import EXTRA, TAKES
from ...runtimes.extras import library
from ..graphs import TorchGraph
from ..probes import probe_inputs
from .onnx_file import reason

MOST = 32  # rows: memory between operators is planned for these, whatever comes
_XNNPACK = "executorch.backends.xnnpack.partition.xnnpack_partitioner"


class _OtherSizes(Exception):
    """A program is for fewer rows or places than were asked."""


def write_executorch(graph: TorchGraph, file: Path) -> None:
    """Write a graph. Raises StageError for a missing library and for what ExecuTorch cannot say."""
    with quietly():
        library("executorch.exir", EXTRA)
        _require_rows_first(graph)
        try:
            in_pieces(lambda most: save_program(exported_program(graph.module, graph, most), graph, most, file))
        except Exception as error:  # torch.export and ExecuTorch raise kinds of their own at each step
            raise StageError(f"this student cannot be exported to ExecuTorch: {reason(error)}") from error


def in_pieces(write: Callable[[int], None]) -> None:
    """Calls `write` with the most rows at once that give a program."""
    try:
        write(MOST)
    except _OtherSizes:
        write(1)


def exported_program(module: nn.Module, graph: TorchGraph, most: int) -> Any:
    """torch.export's program of `module`, which is the graph's or stands for it, for `most` rows or fewer."""
    example = probe_inputs(graph.inputs, min(most, 3), 0, fixed=True)
    free = {name: _free(graph, name, most) for name in graph.inputs}
    packed = isinstance(module, torch.fx.GraphModule)  # which takes the tensors by name, and not as *given
    shapes = tuple(free.values())
    return torch.export.export(module, tuple(example.values()), dynamic_shapes=shapes if packed else (shapes,))


def save_program(program: Any, graph: TorchGraph, most: int, file: Path) -> None:
    """Write what torch.export made, lowered to XNNPACK as far as that reaches."""
    sizes = takes(graph, most)
    xnnpack = library(_XNNPACK, EXTRA)
    lowered = library("executorch.exir", EXTRA).to_edge_transform_and_lower(
        program,
        partitioner=[xnnpack.XnnpackDynamicallyQuantizedPartitioner(), xnnpack.XnnpackPartitioner()],
        constant_methods={TAKES: json.dumps(sizes)},
    )
    made = lowered.to_executorch()
    plan = made.executorch_program.execution_plan[0]
    planned = [list(plan.values[place].val.sizes) for place in plan.inputs]
    if planned != [[side for side, _ in axes] for axes in sizes.values()]:
        raise _OtherSizes(f"it would be for inputs of {planned} at most")
    file.write_bytes(made.buffer)


def takes(graph: TorchGraph, most: int) -> dict[str, list[tuple[int, bool]]]:
    """{input: [(the most places of an axis, whether fewer will do)]}, in the order of the inputs."""
    blanks = blank_inputs(graph.inputs, most)
    free = {name: _free(graph, name, most) for name in graph.inputs}
    return {n: [(side, axis in free[n]) for axis, side in enumerate(one.shape)] for n, one in blanks.items()}


def _free(graph: TorchGraph, name: str, most: int) -> dict[int, Any]:
    """The axes of an input that may differ: the batch, and the length where rows have one."""
    shape = graph.inputs[name]
    free = {0: torch.export.Dim("batch", min=1, max=most)} if most > 1 else {}
    if shape.shape[:1] == (None,) and not graph.fixed_length and (shape.longest or 1) > 1:
        free[1] = torch.export.Dim("length", min=1, max=shape.longest)
    return free


def _require_rows_first(graph: TorchGraph) -> None:
    two, three = (graph.run(blank_inputs(graph.inputs, rows)) for rows in (2, 3))
    for name, values in two.items():
        if values.shape[:1] != (2,) or three[name].shape != (3, *values.shape[1:]):
            raise StageError(
                f"{name} has its rows in another place than first (of two rows it is {tuple(values.shape)}, of three "
                f"{tuple(three[name].shape)}), and an ExecuTorch program is run in pieces of {MOST} rows: leave it out "
                "of --outputs"
            )


@contextmanager
def quietly() -> Iterator[None]:
    """torch.export, torchao and ExecuTorch warn and log of torch's own inside, and of their own parts for GPUs."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # torch asks whether these take a convolution of so many rows, and would export for 15 rows or fewer
            with torch.backends.mkldnn.flags(enabled=False), torch.backends.nnpack.flags(enabled=False):
                yield
    finally:
        logging.disable(before)
