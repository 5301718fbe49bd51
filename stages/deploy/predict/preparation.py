"""How an exported folder says that its inputs are made: preprocessing.json as readings. It needs no torch."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import StageError
from .reading import ArrayReading, ImageReading, Reading, TextReading

_DOCUMENT, _FORMAT = "preprocessing.json", 1


def read_preparation(folder: Path) -> dict[str, Reading]:
    """{input: reading} of an exported folder. Raises StageError for one that this version does not understand."""
    content = read_document(folder / _DOCUMENT, _FORMAT)
    try:
        return {name: _KINDS[settings["kind"]](settings, folder) for name, settings in content["inputs"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise StageError(f"{folder / _DOCUMENT} cannot be read by this version ({error!r}): export again") from error


def read_document(path: Path, version: int) -> dict[str, Any]:
    """A JSON object of this format. Raises StageError naming the file."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StageError(f"{path} cannot be read ({error}): export the student again") from error
    if not isinstance(content, dict) or content.get("format") != version:
        found = content.get("format") if isinstance(content, dict) else None
        raise StageError(f"{path} is of format {found}, and this version reads {version}: export the student again")
    return content


def _image(settings: Mapping[str, Any], folder: Path) -> Reading:
    mean, std = tuple(settings["mean"]), tuple(settings["std"])
    return ImageReading(settings["view"], settings["channels"], settings["size"], mean, std)


def _text(settings: Mapping[str, Any], folder: Path) -> Reading:
    encode = _encoder(folder / settings["tokenizer"])
    longest, truncate = settings["max_tokens"], settings["truncate"]
    return TextReading(encode, longest, truncate, settings["mask"], settings["padding"], settings["pad_to"])


def _array(settings: Mapping[str, Any], folder: Path) -> Reading:
    longest, lengths, fixed = settings["max_tokens"], settings["lengths"], settings["pad_to"]
    return ArrayReading(tuple(settings["shape"]), settings["dtype"], longest, lengths, fixed)


_KINDS: dict[str, Callable[[Mapping[str, Any], Path], Reading]] = {"image": _image, "text": _text, "array": _array}


def _encoder(folder: Path) -> Callable[[str], Sequence[int]]:
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # a bare Exception is what this library raises
        raise StageError(f"{path} holds no tokenizer that can be read ({error}): export the student again") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return lambda text: tokenizer.encode(text).ids
