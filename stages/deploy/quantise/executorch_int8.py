"""An ExecuTorch program of 8-bit weights, by torchao's PT2E with XNNPACK's quantiser. Inputs and outputs stay floats.

Dynamic: dense layers, activations quantised as they come. Static: all that XNNPACK computes in 8 bits, activations
signed. It refuses unsigned activations, which XNNPACK's quantiser does not make, to calibrate with fewer rows than give
a range, and graphs in which there is nothing to quantise.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from ...errors import StageError
from ..export.graphs import TorchGraph
from ..export.probes import probe_inputs
from ..export.rows import RealRows
from ..export.targets.executorch_file import exported_program, in_pieces, quietly, save_program
from ..export.targets.onnx_file import reason
from ..runtimes.executorch import EXTRA
from ..runtimes.extras import library
from .quantise import checked_rows
from .way import Way, mostly_convolutions

_QUANTIZER = "executorch.backends.xnnpack.quantizer.xnnpack_quantizer"
_WEIGHTS = "dequantize_per_channel"


def write_executorch_int8(graph: TorchGraph, parent: Path, file: Path, way: Way | None, rows: RealRows | None) -> Way:
    """Write `file` out of the graph in torch; the way is the one asked for, or the one that fits its weights. Raises
    StageError."""
    taken: Way = way or ("static-s8s8" if mostly_convolutions(graph.module) else "dynamic")
    if taken == "static-u8s8":
        raise StageError("way static-u8s8: XNNPACK computes with signed activations; --way static-s8s8 or dynamic")
    calibration = None if taken == "dynamic" else checked_rows(rows, taken)
    with quietly():
        try:
            in_pieces(lambda most: _write(graph, most, file, calibration))
        except StageError:
            raise
        except Exception as error:  # torch.export, torchao and ExecuTorch raise kinds of their own
            raise StageError(f"this student cannot be quantised for ExecuTorch: {reason(error)}") from error
    return taken


def _write(graph: TorchGraph, most: int, file: Path, calibration: RealRows | None) -> None:
    pt2e = library("torchao.quantization.pt2e.quantize_pt2e", EXTRA)
    plain = exported_program(graph.module, graph, most).module(check_guards=False)
    prepared = pt2e.prepare_pt2e(plain, _quantizer(calibration is None))
    with torch.no_grad():
        for batch in _batches(graph, most, calibration):
            prepared(*(batch[name] for name in graph.inputs))
    converted = pt2e.convert_pt2e(prepared)
    if not any(_WEIGHTS in str(node.target) for node in converted.graph.nodes):
        way = "dynamic" if calibration is None else "static-s8s8"
        raise StageError(f"{file.name}: way {way} finds no weights to quantise in this graph; export it in float32")
    save_program(exported_program(converted, graph, most), graph, most, file)


def _batches(graph: TorchGraph, most: int, rows: RealRows | None) -> Iterator[Mapping[str, torch.Tensor]]:
    """Rows to calibrate with. Without them one probe: weights have their ranges noted in a pass too."""
    if rows is None:
        yield probe_inputs(graph.inputs, 1, 0, fixed=True)
        return
    for batch in rows.batches(most):
        yield {name: torch.from_numpy(batch[name]) for name in graph.inputs}


def _quantizer(dynamic: bool) -> Any:
    module = library(_QUANTIZER, EXTRA)
    config = module.get_symmetric_quantization_config(is_per_channel=True, is_dynamic=dynamic)
    quantizer = module.XNNPACKQuantizer()
    if dynamic:
        return quantizer.set_operator_type(torch.ops.aten.linear.default, config)
    return quantizer.set_global(config)
