"""Finds out what lies in a folder, a checkpoint or an export, and opens it to be asked."""

from pathlib import Path

from ...errors import StageError
from ..export.manifest import DOCUMENT, read_export
from .exported import ExportedModel
from .model import Model
from .predictor import Predictor
from .writer import MOST_TOKENS, WriterModel


def open_predictor(
    folder: str | Path, batch_size: int = 32, threads: int | None = None, most_tokens: int = MOST_TOKENS
) -> Predictor:
    """A predictor of what lies in `folder`: a finished student, or what `teachercache export` wrote.

    `threads` pins the threads of the runtime; a student that writes texts writes at most `most_tokens`. Raises
    StageError when there is neither, or it cannot be loaded.
    """
    return Predictor(open_model(Path(folder), threads, most_tokens), batch_size)


def open_model(folder: Path, threads: int | None = None, most_tokens: int = MOST_TOKENS) -> Model:
    """The model in a folder. torch is imported for checkpoints alone."""
    if (folder / DOCUMENT).is_file():
        exported = read_export(folder)
        if exported.kind == "writer" and exported.target != "hf":
            return WriterModel(folder, exported, threads, most_tokens)
        return ExportedModel(folder, exported, threads)
    if (folder / "student.json").is_file():
        from .checkpoint import Checkpoint

        return Checkpoint(folder, threads)
    raise StageError(
        f"{folder} holds neither a finished student (student.json) nor an export ({DOCUMENT}): name the folder of "
        "a trial, such as runs/demo/students/tiny/distilled/seed-0, or what `teachercache export` wrote"
    )
