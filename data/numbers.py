"""A field's value as one array of numbers, or as one array of several that it holds by name."""

from typing import Any, Literal

import numpy as np

from .errors import DataError

Plain = Literal["float32", "int64", "bool"]

_TYPES: dict[str, Plain] = {"f": "float32", "i": "int64", "u": "int64", "b": "bool"}


def number_array(value: Any, key: str | None, where: str) -> np.ndarray:
    """`value` (an array, JSON, or a mapping of them, of which `key` names one) as an array of the type it is kept in.

    Raises DataError, which begins with `where`, when there is no such array, or it holds no numbers.
    """
    if isinstance(value, dict):
        if key not in value:
            has = ", ".join(map(str, value)) or "nothing"
            raise DataError(f"{where} holds {has}: {f'there is no {key!r}' if key else 'name one of them'}")
        value = value[key]
    elif key is not None:
        raise DataError(f"{where} is one array, and {key!r} of it was asked for")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DataError(f"{where} holds lists that are no array ({error})") from error
    if array.dtype.kind not in _TYPES:
        raise DataError(f"{where} holds {array.dtype}, and numbers were asked for")
    return array


def fits_float32(array: np.ndarray) -> bool:
    """Whether all values are finite, also as float32."""
    return bool(np.all(np.abs(array) <= np.finfo(np.float32).max))


def plain_type(array: np.ndarray) -> Plain:
    """The type in which a model gets an array: float32 for floating-point numbers, int64 for whole ones, bool."""
    return _TYPES[array.dtype.kind]
