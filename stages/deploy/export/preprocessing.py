"""How a student's inputs are made, as `preprocessing.json` and the tokenizer's files beside it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import StageError
from ...student.files.saved import SavedStudent
from ...student.inputs.columns import companion
from ...student.inputs.shape import InputShape
from ...student.inputs.spec import InputSource
from ...tokenizer import files_digest, load_tokenizer, tokenizer_files

TOKENIZER = "tokenizer"


def preprocessing(saved: SavedStudent, fixed_length: bool = False) -> dict[str, Any]:
    """The document preprocessing.json of a student. With `fixed_length` texts and sequences are all padded to the
    longest. Raises StageError for inputs whose form is not known."""
    shapes = saved.shape.completed(saved.student).inputs
    return {
        "format": 1,
        "inputs": {name: _steps(name, one, saved, shapes, fixed_length) for name, one in saved.student.takes.items()},
    }


def _steps(
    name: str, source: InputSource, saved: SavedStudent, shapes: Mapping[str, InputShape], fixed: bool
) -> dict[str, Any]:
    shape = shapes[name]
    if source.image is not None:
        view, channels = saved.shape.size, saved.shape.channels
        sees = {"mean": list(source.image.mean), "std": list(source.image.std)}
        return {"kind": "image", "channels": channels, "view": view, "size": source.image.size or view, **sees}
    beside = companion(name, source)
    if source.text is not None:
        return {
            "kind": "text",
            "tokenizer": TOKENIZER if name == "input_ids" else f"{TOKENIZER}-{name}",
            "max_tokens": shape.longest,
            "truncate": source.truncate,
            "padding": shape.padding or 0,
            "mask": beside,
            "pad_to": shape.longest if fixed else None,
        }
    limits = {"max_tokens": source.max_tokens, "truncate": source.truncate, "lengths": beside}
    padding = {"pad_to": shape.longest if fixed else None}
    return {"kind": "array", "shape": list(shape.shape), "dtype": shape.dtype, **limits, **padding}


def write_tokenizers(saved: SavedStudent, steps: Mapping[str, Any], folder: Path) -> None:
    """Each text input's tokenizer, as tokenizer.json and what transformers reads beside it. Raises StageError when it
    is no longer the one that the student learnt with, or has no tokenizer.json."""
    shapes = saved.shape.completed(saved.student).inputs
    for name, source in saved.student.takes.items():
        if source.tokenizer is None:
            continue
        place, where = Path(source.tokenizer), f"{saved.student.name}: inputs.{name}.tokenizer"
        tokenizer = load_tokenizer(place, where)
        learnt = shapes[name].tokenizer
        if learnt is not None and files_digest(tokenizer_files(place)) != learnt:
            raise StageError(f"{where}: {place} has changed since this student learnt with it; restore its files")
        if not getattr(tokenizer, "is_fast", False):
            raise StageError(
                f"{where}: {place} has no tokenizer.json, and nothing else can be read without transformers"
            )
        tokenizer.save_pretrained(folder / steps["inputs"][name]["tokenizer"])
