"""What a sample holds beside its image: texts, arrays of numbers, JSON, decoded from the bytes of its shard.

It refuses pickled arrays, text that is not UTF-8, and JSON constants that are no JSON (NaN, Infinity).
"""

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from .errors import DataError, UndecodableError
from .sample import Sample

_NUMBERS = "biuf"  # numpy kinds: bool, signed, unsigned, float


def decode_field(sample: Sample, name: str, kind: str) -> Any:
    """A field's value: str for text, an array (or {name: array} of a .npz) for array, any JSON value for json.

    Raises DataError, naming shard and sample, when the field is missing, UndecodableError when it cannot be read.
    """
    where = f"sample {sample.id!r} of shard {sample.shard!r}"
    if name not in sample.fields:
        raise DataError(f"{where} has no field {name!r}: add its extension to source.fields.{name}, or leave it out")
    try:
        return _DECODERS[kind](sample.fields[name])
    except (ValueError, EOFError, OSError, KeyError, RecursionError, zipfile.BadZipFile) as error:
        raise UndecodableError(f"{where}: field {name!r} is no {kind} that can be read ({error})") from error


def _array(data: bytes) -> np.ndarray | dict[str, np.ndarray]:
    loaded = np.load(io.BytesIO(data), allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return _checked(loaded)
    with loaded:
        return {name: _checked(loaded[name]) for name in loaded.files}


def _checked(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in _NUMBERS:
        raise ValueError(f"its values are {array.dtype}, not numbers")
    return array


def _json(data: bytes) -> Any:
    return json.loads(data.decode("utf-8"), parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


_DECODERS: dict[str, Callable[[bytes], Any]] = {
    "text": lambda data: data.decode("utf-8"),
    "array": _array,
    "json": _json,
}
