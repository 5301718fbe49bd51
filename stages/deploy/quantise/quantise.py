"""An ONNX file of 8-bit weights out of one of floats, by ONNX Runtime's quantiser.

It refuses to calibrate with fewer rows than give a range, and graphs in which there is nothing to quantise.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import StageError
from ..export.graphs import TorchGraph
from ..export.rows import RealRows
from ..export.targets.onnx_file import save_bare
from ..runtimes.extras import library
from ..runtimes.onnx import EXTRA
from .kept_weights import narrow
from .shorten import shorten
from .way import DYNAMIC, Way, fitting_way, weight_bits, weight_counts

LEAST_ROWS = 64
_BATCH = 32


def write_onnx_int8(graph: TorchGraph, parent: Path, file: Path, way: Way | None, rows: RealRows | None) -> Way:
    """Write `file` out of the ONNX file `parent`; the way is the one asked for, or the one that fits its weights."""
    taken = way or fitting_way(parent)
    quantise(parent, file, taken, rows)
    return taken


def quantise(source: Path, file: Path, way: Way, rows: RealRows | None) -> None:
    """Write `source` as int8 to `file`. `rows` calibrate the static ways. Raises StageError for too few of them, and
    for a graph that has no weights which that way quantises."""
    weights = weight_counts(source)
    if not sum(weights[kind] for kind in (DYNAMIC if way == "dynamic" else weights)):
        raise StageError(
            f"{source.name}: way {way} finds no weights to quantise in this graph; "
            + ("static-u8s8 quantises convolutions" if way == "dynamic" else "export it in float32")
        )
    quantisation = library("onnxruntime.quantization", EXTRA)
    with _quietly():
        if way == "dynamic":
            _dynamic(quantisation, source, file)
        else:
            _static(quantisation, source, file, checked_rows(rows, way), way)
    model = library("onnx", EXTRA).load(file)
    narrow(model)
    shorten(model)
    save_bare(model, file)


def _dynamic(quantisation: Any, source: Path, file: Path) -> None:
    quantisation.quantize_dynamic(
        source,
        file,
        op_types_to_quantize=list(DYNAMIC),
        per_channel=True,
        reduce_range=weight_bits("dynamic") < 8,
        weight_type=quantisation.QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True},
    )


def _static(quantisation: Any, source: Path, file: Path, rows: RealRows, way: Way) -> None:
    symmetric = way == "static-s8s8"
    kinds = quantisation.QuantType
    between = file.with_name(f".{file.name}.folded")
    library("onnxruntime.quantization.shape_inference", EXTRA).quant_pre_process(
        str(source), str(between), skip_symbolic_shape=True
    )
    try:
        quantisation.quantize_static(
            between,
            file,
            _Reader(between, rows),
            quant_format=quantisation.QuantFormat.QDQ,
            per_channel=True,
            reduce_range=weight_bits(way) < 8,
            activation_type=kinds.QInt8 if symmetric else kinds.QUInt8,
            weight_type=kinds.QInt8,
            extra_options={"ActivationSymmetric": symmetric, "WeightSymmetric": True},
        )
    finally:
        between.unlink()


class _Reader:
    """Gives ONNX Runtime the calibration rows, batch by batch."""

    def __init__(self, file: Path, rows: RealRows) -> None:
        names = {one.name for one in library("onnx", EXTRA).load(file).graph.input}
        self._batches = ({n: v for n, v in batch.items() if n in names} for batch in rows.batches(_BATCH))

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch; None at the end."""
        return next(self._batches, None)


def checked_rows(rows: RealRows | None, way: str) -> RealRows:
    """Rows to calibrate with. Raises StageError for none, and for too few."""
    if rows is None:
        raise StageError(f"way {way} is calibrated with real rows, and none are given: --config recipe.yaml")
    if len(rows) < LEAST_ROWS:
        raise StageError(
            f"calibration has {len(rows)} rows, and {LEAST_ROWS} are the fewest from which the ranges of activations "
            "can be told; give more with --rows, or a cache that holds more"
        )
    return rows


@contextmanager
def _quietly() -> Iterator[None]:
    """ONNX Runtime's quantiser logs advice about its own preprocessing on the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)
