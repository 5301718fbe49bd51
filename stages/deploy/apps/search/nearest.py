"""The nearest rows of a query: exactly by numpy while there are few, by a graph of usearch where there are many."""

from pathlib import Path
from typing import Any

import numpy as np

from ....errors import StageError

EXACT_BELOW = 100_000  # numpy takes 1.6 ms of 50,000 rows; above, a graph is worth its building


class Nearest:
    """`vectors` float32 (n, D) of unit length. The graph is built at most once and kept as `file`."""

    def __init__(self, vectors: np.ndarray, file: Path, exact_below: int = EXACT_BELOW) -> None:
        """Raises StageError where usearch is needed and not installed."""
        self._vectors = vectors
        self._graph = None if len(vectors) < exact_below else _graph(vectors, file)

    def find(self, query: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """(rows, cosines) of the `count` nearest to `query` (D,) of unit length, the nearest first; of equals the lower
        row."""
        count = min(count, len(self._vectors))
        if self._graph is None:
            cosines = self._vectors @ query
            rows = np.argsort(-cosines, kind="stable")[:count]
            return rows, cosines[rows]
        found = self._graph.search(query, count)
        rows = np.asarray(found.keys, np.int64)
        return rows, self._vectors[rows] @ query


def _graph(vectors: np.ndarray, file: Path) -> Any:
    try:
        from usearch.index import Index
    except ImportError as error:
        raise StageError(
            f"{len(vectors):,} pictures are searched with usearch, which is not installed: "
            "pip install 'teachercache[search]'"
        ) from error
    graph = Index(ndim=vectors.shape[1], metric="ip", dtype="f32")
    if file.is_file():
        graph.load(str(file))
        if len(graph) == len(vectors):
            return graph
        graph = Index(ndim=vectors.shape[1], metric="ip", dtype="f32")
    graph.add(np.arange(len(vectors)), vectors)
    temporary = file.with_suffix(".tmp")
    graph.save(str(temporary))
    temporary.replace(file)
    return graph
