"""What writes a target's int8 file. It refuses targets that have none."""

from collections.abc import Callable
from pathlib import Path

from ...errors import StageError
from ..export.graphs import TorchGraph
from ..export.rows import RealRows
from .executorch_int8 import write_executorch_int8
from .litert_int8 import write_litert_int8
from .quantise import write_onnx_int8
from .way import Way

# (the graph in torch, its float file, the file to write, the way asked for, rows to calibrate with) -> the way taken
Writer = Callable[[TorchGraph, Path, Path, Way | None, RealRows | None], Way]
_WRITERS: dict[str, Writer] = {
    "onnx": write_onnx_int8,
    "web": write_onnx_int8,
    "litert": write_litert_int8,
    "executorch": write_executorch_int8,
}


def int8_writer(target: str) -> Writer:
    """The writer of a target. Raises StageError where there is none."""
    if target not in _WRITERS:
        raise StageError(f"--int8: there is no int8 of {target}; there is one of --to {', '.join(_WRITERS)}")
    return _WRITERS[target]
