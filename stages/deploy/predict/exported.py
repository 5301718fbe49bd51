"""An exported folder as a model to ask, in the runtime of its target. No torch is imported for it."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...errors import StageError, StageFailed
from ..export.manifest import Exported, Graph
from ..runtimes.runtime import GraphNames, OpenGraph, open_graph
from .preparation import read_preparation


class ExportedModel:
    """The `Model` of an exported folder, float or int8, of one graph or two towers."""

    def __init__(self, folder: Path, exported: Exported, threads: int | None = None) -> None:
        """Raises StageError when it cannot be loaded, without its runtime, and for targets that nothing here runs."""
        if exported.target == "hf":
            raise StageError(f"{folder} is exported to hf: transformers loads it, and the checkpoint answers the same")
        self.place, self.classes = str(folder), _classes(folder)
        self.readings = read_preparation(folder)
        self._graphs = exported.graphs
        self._open: dict[str, OpenGraph] = {
            name: open_graph(exported.target, folder / graph.file, _names(graph), threads)
            for name, graph in exported.graphs.items()
        }

    def outputs(self, given: frozenset[str]) -> tuple[str, ...]:
        return tuple(one.name for name in self._asked(given) for one in self._graphs[name].outputs)

    def run(self, inputs: Mapping[str, np.ndarray], given: frozenset[str]) -> dict[str, np.ndarray]:
        said: dict[str, np.ndarray] = {}
        for name in self._asked(given):
            asked = {one.name: inputs[one.name] for one in self._graphs[name].inputs}
            try:
                said |= self._open[name](asked)
            except Exception as error:  # the runtime's own kinds of errors
                shapes = ", ".join(f"{one} {array.shape}" for one, array in asked.items())
                raise StageFailed(f"{self.place}: graph {name!r} fails on {shapes}: {error}") from error
        return said

    def _asked(self, given: frozenset[str]) -> list[str]:
        """Graphs whose own inputs are all given; masks and lengths come with them."""
        takes = {name: {one.name for one in graph.inputs} for name, graph in self._graphs.items()}
        return [name for name, its in takes.items() if its & self.readings.keys() <= given]


def _names(graph: Graph) -> GraphNames:
    return GraphNames(tuple(one.name for one in graph.inputs), tuple(one.name for one in graph.outputs))


def _classes(folder: Path) -> tuple[str, ...]:
    path = folder / "labels.json"
    try:
        return tuple(map(str, json.loads(path.read_bytes())))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError) as error:
        raise StageError(f"{path} cannot be read ({error}): export the student again") from error
