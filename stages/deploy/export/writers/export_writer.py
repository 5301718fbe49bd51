"""Exports a student that writes texts: its graphs, held against the student itself.

It refuses other targets, and outputs of one's own choice.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....errors import StageError
from ....versions import library_versions
from ...evaluation.candidate import Candidate
from ..check import BATCHES
from ..export import Asked, finish, student_facts
from ..facts import Facts
from ..folder import files_xxh3, new_folder
from ..manifest import Exported, Graph
from ..targets.onnx_file import file_ends
from .check import check_writer
from .files import open_parts, write_part
from .parts import WriterParts, writer_parts
from .writing import Run


@dataclass(frozen=True, slots=True)
class WrittenFloats:
    """The float graphs in `folder`, run by `run`, and how far from torch they are."""

    writer: WriterParts
    folder: Path
    run: Run
    difference: float


def export_writer(candidate: Candidate, asked: Asked, facts: Facts) -> Exported:
    """Write `asked.out` in float32. Raises StageError, and leaves nothing, when it cannot be done."""
    with new_folder(asked.out, asked.replace) as folder:
        floats = write_floats(candidate, asked, folder)
        check = {
            "batches": list(BATCHES),
            "tolerance": asked.tolerance,
            "largest_difference": floats.difference,
        }
        exported = described(candidate, floats, folder, facts, check=check)
        finish(folder, exported, candidate, facts, False)
    return exported


def write_floats(candidate: Candidate, asked: Asked, folder: Path) -> WrittenFloats:
    """All graphs into `folder`, checked. Raises StageError for what such a student cannot be exported as."""
    if asked.target != "onnx" or asked.page is not None:
        raise StageError(
            f"{candidate.folder} writes texts token by token, and its graphs with a key-value cache are made by --to "
            f"onnx alone, not by {asked.target}; --to hf gives a folder whose model generates with transformers"
        )
    if asked.outputs is not None:
        raise StageError(f"{candidate.folder} writes texts, and is exported as what writes them: leave out --outputs")
    writer = writer_parts(candidate)
    for name, part in writer.parts.items():
        write_part(part, folder / f"{name}.onnx")
    run = open_parts(folder, writer.parts)
    shapes = candidate.saved.shape.completed(candidate.saved.student).inputs
    return WrittenFloats(writer, folder, run, check_writer(writer, shapes, run, asked.tolerance, asked.out.name))


def described(candidate: Candidate, floats: WrittenFloats, folder: Path, facts: Facts, **more: Any) -> Exported:
    """What export.json says of the graphs in `folder`."""
    return Exported(
        target="onnx",
        precision=more.pop("precision", "float32"),
        kind="writer",
        student=student_facts(candidate, floats.writer.student),
        graphs={name: _graph(folder / f"{name}.onnx") for name in floats.writer.parts},
        versions=library_versions(),
        cache=facts.cache,
        generation=floats.writer.generation,
        **more,
    )


def _graph(file: Path) -> Graph:
    return Graph(file.name, file.stat().st_size, files_xxh3([file]), *file_ends(file))
