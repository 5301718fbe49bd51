"""Which way a graph is quantised: by what its weights are for.

Dynamic: MatMul and Gemm with signed 8-bit weights per channel, activations quantised as they come, and tables of tokens
(Gather) with one scale each; for transformers.
Static U8S8: every layer, activations unsigned by a range that calibration finds; for convolutional nets on x86.
Static S8S8: the same with symmetric signed activations, which XNNPACK and TensorRT want; slower than float on x86.
"""

from pathlib import Path
from typing import Literal, get_args

from torch import nn

from ..runtimes.extras import library
from ..runtimes.onnx import EXTRA

Way = Literal["dynamic", "static-u8s8", "static-s8s8"]
WAYS: tuple[Way, ...] = get_args(Way)
_DENSE = ("MatMul", "Gemm")
DYNAMIC = (*_DENSE, "Gather")


def fitting_way(file: Path) -> Way:
    """`static-u8s8` where most weights of an ONNX file are those of convolutions, else `dynamic`."""
    weights = weight_counts(file)
    return "static-u8s8" if weights["Conv"] > sum(weights[kind] for kind in _DENSE) else "dynamic"


def mostly_convolutions(module: nn.Module) -> bool:
    """Whether most weights of a model are those of convolutions; embeddings are neither these nor dense."""
    convolutions, others = 0, 0
    for one in module.modules():
        weights = sum(own.numel() for own in one.parameters(recurse=False) if own.ndim > 1)
        if isinstance(one, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            convolutions += weights
        elif not isinstance(one, nn.Embedding):
            others += weights
    return convolutions > others


def weight_bits(way: Way, target: str = "onnx") -> int:
    """7 in ONNX where activations are unsigned: processors without VNNI, and WebAssembly on them, add pairs of products
    in 16 bits, which overflow where weights have 8. The same file would say other things there than elsewhere. Other
    runtimes have signed activations, and add in 32 bits."""
    return 8 if way == "static-s8s8" or target not in ("onnx", "web") else 7


def weight_counts(file: Path) -> dict[str, int]:
    """Numbers in the weights of convolutions, of dense layers and of tables, by operator."""
    graph = library("onnx", EXTRA).load(file).graph
    sizes = {one.name: _count(one.dims) for one in graph.initializer if len(one.dims) > 1}
    found = dict.fromkeys(("Conv", *DYNAMIC), 0)
    for node in graph.node:
        if node.op_type in found:
            found[node.op_type] += sum(sizes.get(name, 0) for name in node.input)
    return found


def _count(dims: list[int]) -> int:
    count = 1
    for side in dims:
        count *= side
    return count
