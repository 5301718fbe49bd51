"""What a cache keeps once, not per row: a head's weight, a basis. One .npy file each, named by its hash.

The manifest says which constants there are and what their bytes are; they are written before it.
"""

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import numpy as np
import xxhash

from ..errors import CacheError, DamagedCacheError
from ..storage.store import Store
from .schema import check_name

_MOST_BYTES = 1 << 36


@dataclass(frozen=True, slots=True)
class Constant:
    """A file of numbers: its name below the store, its bytes, and their xxh3-128."""

    file: str
    bytes: int
    xxh3: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def publish_constants(store: Store, constants: Mapping[str, np.ndarray]) -> dict[str, Constant]:
    """Write arrays of any numeric dtype; files that stand already (they are named by their content) stay."""
    return {name: _publish(store, check_name(name, "constant"), array) for name, array in constants.items()}


def read_constant(store: Store, name: str, constant: Constant) -> np.ndarray:
    """The array, read-only. Raises DamagedCacheError when its file is not what was written."""
    path = f"{store.url}/{constant.file}"
    try:
        data = _bytes(store, constant)
    except OSError as error:
        raise DamagedCacheError(f"{path}: constant {name} cannot be read ({error.strerror or error})") from error
    if len(data) != constant.bytes or xxhash.xxh3_128_hexdigest(data) != constant.xxh3:
        raise DamagedCacheError(f"{path}: constant {name} was changed after it was written")
    try:
        return _array(data)
    except Exception as error:  # numpy lets Python parse the header, which may fail in any way
        raise DamagedCacheError(f"{path}: constant {name} is no .npy file of numbers ({error})") from error


def read_constants(content: Any) -> dict[str, Constant]:
    """The constants of a manifest from their JSON. Raises CacheError for what cannot be meant."""
    found = {}
    for name, item in dict(content).items():
        constant = Constant(str(item["file"]), item["bytes"], str(item["xxh3"]))
        folder, _, file = constant.file.partition("/")
        if folder != "constants" or not file.endswith(".npy") or not isinstance(constant.bytes, int):
            raise CacheError(f"constant {name!r}: file {constant.file!r} of {constant.bytes!r} bytes is impossible")
        if not 0 < constant.bytes <= _MOST_BYTES:
            raise CacheError(f"constant {name!r}: {constant.bytes} bytes are impossible")
        check_name(file, "constant file")
        found[check_name(name, "constant")] = constant
    return found


def _bytes(store: Store, constant: Constant) -> bytes:
    """The bytes of its file, and of one that is too long no more than that shows."""
    data = bytearray()
    for piece in store.pieces(constant.file):
        data += piece
        if len(data) > constant.bytes:
            break
    return bytes(data)


def _array(data: bytes) -> np.ndarray:
    """The numbers of a .npy file, read-only. Raises ValueError for one whose header claims what is not there."""
    file = io.BytesIO(data)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("its format is not 1.0")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    there, claimed = len(data) - file.tell(), prod(shape) * dtype.itemsize
    if dtype.kind not in "iuf" or min(shape, default=0) < 0 or there != claimed:
        raise ValueError(f"its header tells of {dtype} {shape}, and {there} bytes follow")
    return np.frombuffer(data, dtype, prod(shape), file.tell()).reshape(shape, order="F" if fortran else "C")


def _publish(store: Store, name: str, array: np.ndarray) -> Constant:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    data = buffer.getvalue()
    digest = xxhash.xxh3_128_hexdigest(data)
    constant = Constant(f"constants/{name}.{digest[:16]}.npy", len(data), digest)
    store.publish(constant.file, data)
    return constant
