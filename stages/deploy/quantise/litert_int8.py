"""A LiteRT file of 8-bit weights out of one of floats, by ai-edge-quantizer. Inputs and outputs stay floats.

It refuses to calibrate with fewer rows than give a range, unsigned activations, which LiteRT does not compute with, and
graphs in which there is nothing to quantise.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import StageError
from ..export.graphs import TorchGraph
from ..export.rows import RealRows
from ..export.targets.litert_bare import save_bare_litert
from ..export.targets.litert_file import quietly
from ..runtimes.extras import library
from ..runtimes.litert import EXTRA, LitertGraph
from .quantise import checked_rows
from .way import Way, mostly_convolutions

_SIGNATURE = "serving_default"


def write_litert_int8(graph: TorchGraph, parent: Path, file: Path, way: Way | None, rows: RealRows | None) -> Way:
    """Write `file` out of the LiteRT file `parent`; the way is the one asked for, or the one that fits its weights.
    Raises StageError."""
    taken: Way = way or ("static-s8s8" if mostly_convolutions(graph.module) else "dynamic")
    if taken == "static-u8s8":
        raise StageError("way static-u8s8: LiteRT computes with signed activations; --way static-s8s8 or dynamic")
    calibration = None if taken == "dynamic" else checked_rows(rows, taken)
    names = tuple(LitertGraph(parent).inputs)
    with quietly():
        quantizer = _quantizer(parent, taken)
        ranges = None if calibration is None else quantizer.calibrate({_SIGNATURE: list(_rows(calibration, names))})
        quantizer.quantize(ranges, enable_progress_report=False).export_model(str(file))
        save_bare_litert(file)
    if not LitertGraph(file).holds(np.int8):
        file.unlink()
        raise StageError(f"{parent.name}: way {taken} finds no weights to quantise in this graph; export it in float32")
    return taken


def _quantizer(parent: Path, way: Way) -> Any:
    recipe = library("ai_edge_quantizer.recipe", EXTRA)
    steps = recipe.dynamic_wi8_afp32() if way == "dynamic" else recipe.static_wi8_ai8()
    ends = [{**steps[0], "operation": end, "algorithm_key": "no_quantize"} for end in ("INPUT", "OUTPUT")]
    quantizer = library("ai_edge_quantizer.quantizer", EXTRA).Quantizer(str(parent))
    quantizer.load_quantization_recipe([*steps, *ends])
    return quantizer


def _rows(rows: RealRows, names: tuple[str, ...]) -> Any:
    """One at a time, which is how the file takes them; integers have 32 bits in it."""
    for batch in rows.batches(1):
        yield {name: _narrow(batch[name]) for name in names}


def _narrow(values: np.ndarray) -> np.ndarray:
    return values.astype(np.int32) if values.dtype == np.int64 else values
