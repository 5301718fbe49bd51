"""What `export.json` says of an exported student. No torch: whoever runs an export reads this.

Reading refuses a folder without it, and one of another format.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...errors import StageError

FORMAT, DOCUMENT = 1, "export.json"


@dataclass(frozen=True, slots=True)
class GraphTensor:
    """An input or output of a graph. `shape`: numbers, `batch` or `length` where an axis is free."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """One graph's file, with its bytes (of all that belongs to it) and the xxh3-128 of it."""

    file: str
    bytes: int
    xxh3: str
    inputs: tuple[GraphTensor, ...]
    outputs: tuple[GraphTensor, ...]


@dataclass(frozen=True, slots=True)
class Exported:
    """The whole of export.json; docs/export.md says what each field is."""

    target: str
    precision: str
    kind: str
    student: Mapping[str, Any]
    graphs: Mapping[str, Graph]
    check: Mapping[str, Any]
    versions: Mapping[str, str]
    cache: str | None = None
    similarity: Mapping[str, float] | None = None
    quantisation: Mapping[str, Any] | None = None
    load: Mapping[str, Any] | None = None
    generation: Mapping[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        """export.json."""
        return {"format": FORMAT, **asdict(self)}

    @property
    def bytes(self) -> int:
        """Of all graphs."""
        return sum(graph.bytes for graph in self.graphs.values())


def read_export(folder: Path) -> Exported:
    """What an export's folder holds. Raises StageError for a folder that is none, or that another version wrote."""
    try:
        content = json.loads((folder / DOCUMENT).read_text("utf-8"))
    except FileNotFoundError:
        raise StageError(
            f"{folder} is no exported student (it has no {DOCUMENT}); `teachercache export` makes one"
        ) from None
    except (OSError, ValueError) as error:
        raise StageError(f"{folder / DOCUMENT} cannot be read ({error}); export the student again") from error
    found = content.pop("format", None) if isinstance(content, dict) else None
    if found != FORMAT:
        raise StageError(
            f"{folder / DOCUMENT} is of format {found}, and this version reads {FORMAT}: export the student again"
        )
    try:
        graphs = {name: _graph(found) for name, found in content.pop("graphs").items()}
        return Exported(graphs=graphs, **content)
    except (KeyError, TypeError, AttributeError) as error:
        raise StageError(f"{folder / DOCUMENT} is damaged ({error}); export the student again") from error


def _graph(content: Mapping[str, Any]) -> Graph:
    ends = {
        side: tuple(GraphTensor(**{**one, "shape": tuple(one["shape"])}) for one in content[side]) for side in _ENDS
    }
    return Graph(content["file"], content["bytes"], content["xxh3"], **ends)


_ENDS = ("inputs", "outputs")
