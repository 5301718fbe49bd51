"""An exported student that writes texts as a model to ask: its answer to a prompt is the tokens that it writes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import StageError
from ..export.manifest import Exported
from ..export.writers.writing import write
from ..runtimes.runtime import GraphNames, open_graph
from .preparation import read_preparation

MOST_TOKENS = 64


class WriterModel:
    """The `Model` of an export of kind `writer`. Its one output is `tokens`, int64 (most_tokens,), -1 behind the end;
    `text` says them in words."""

    def __init__(self, folder: Path, exported: Exported, threads: int | None = None, most_tokens: int = MOST_TOKENS):
        """Raises StageError when it cannot be loaded, or without its runtime."""
        self.place, self.classes = str(folder), ()
        self.readings = read_preparation(folder)
        assert exported.generation is not None
        self._generation, self._most = exported.generation, most_tokens
        self._graphs = {
            name: open_graph(exported.target, folder / graph.file, GraphNames((), ()), threads)
            for name, graph in exported.graphs.items()
        }
        self._tokenizer = _tokenizer(folder)

    def outputs(self, given: frozenset[str]) -> tuple[str, ...]:
        return ("tokens",) if self.readings.keys() <= given else ()

    def run(self, inputs: Mapping[str, np.ndarray], given: frozenset[str]) -> dict[str, np.ndarray]:
        return {"tokens": write(self._graph, self._generation, inputs, self._most)}

    def text(self, tokens: np.ndarray) -> str:
        """The words of tokens, int64 (N,)."""
        words: str = self._tokenizer.decode([int(token) for token in tokens if token >= 0])
        return words

    def _graph(self, name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self._graphs[name](inputs)


def _tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    steps = json.loads((folder / "preprocessing.json").read_bytes())["inputs"]
    place = next((one["tokenizer"] for one in steps.values() if one["kind"] == "text"), None)
    if place is None:
        raise StageError(f"{folder} writes texts and reads none: export the student again")
    return Tokenizer.from_file(str(folder / place / "tokenizer.json"))
