"""Inputs and outputs of a graph as torch has them, for formats that know no names nor which axes are free."""

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from ...student.inputs.shape import blank_inputs
from .graphs import TorchGraph
from .manifest import GraphTensor
from .targets.target import Ends

_ROWS = (2, 3)


def graph_ends(graph: TorchGraph, file: Path) -> Ends:
    """The ends of `graph`, whatever `file` it was written to, under the student's names.

    It is run on blanks of two batches and two lengths, and an axis that differs is free: `batch` in first place, else
    `length`. A graph of fixed length has numbers there.
    """
    blanks = _blanks(graph)
    said = [graph.run(one) for one in blanks]
    return _tensors(blanks, tuple(graph.inputs)), _tensors(said, graph.outputs)


def _blanks(graph: TorchGraph) -> list[dict[str, Tensor]]:
    """Of two batches at the longest length, and of one a place shorter where lengths are free."""
    whole = [blank_inputs(graph.inputs, rows) for rows in _ROWS]
    limits = [one.longest or 1 for one in graph.inputs.values() if one.shape[:1] == (None,)]
    if graph.fixed_length or not limits or max(limits) < 2:
        return whole
    shorter = {n: replace(one, longest=max(1, (one.longest or 1) - 1)) for n, one in graph.inputs.items()}
    return [*whole, blank_inputs(shorter, _ROWS[0])]


def _tensors(runs: list[dict[str, Tensor]], names: tuple[str, ...]) -> tuple[GraphTensor, ...]:
    return tuple(GraphTensor(name, _dtype(runs[0][name]), _shape([one[name] for one in runs])) for name in names)


def _dtype(values: Tensor) -> str:
    return str(values.dtype).removeprefix("torch.")


def _shape(values: list[Tensor]) -> tuple[int | str, ...]:
    axes = enumerate(zip(*(one.shape for one in values), strict=True))
    return tuple(sides[0] if len(set(sides)) == 1 else "length" if place else "batch" for place, sides in axes)
