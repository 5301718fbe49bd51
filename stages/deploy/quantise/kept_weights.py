"""Weights that a quantiser has left in floats, kept in 8 bits and computed with in floats: convolutions and positions
in a file of way `dynamic`, recurrent layers in any.

Each is symmetric, with one scale for each place of its first axis that has several. It leaves alone what is small.
"""

from typing import Any

import numpy as np

from ..runtimes.extras import library
from ..runtimes.onnx import EXTRA
from .shorten import copied

LEAST = 512  # numbers; below, a node and its scales are no smaller than the floats


def narrow(model: Any) -> None:
    """Change `model` in place: float32 constants of two axes or more become int8 behind a DequantizeLinear."""
    onnx, graph = library("onnx", EXTRA), model.graph
    outputs = {one.name for one in graph.output}
    kept, nodes = [], []
    for one in graph.initializer:
        if one.data_type != onnx.TensorProto.FLOAT or len(one.dims) < 2 or one.name in outputs or _small(one.dims):
            kept.append(one)
            continue
        values = onnx.numpy_helper.to_array(one)
        axis, scale, whole = _narrowed(values)
        name = f"{one.name}:int8"
        kept += [onnx.numpy_helper.from_array(whole, name), onnx.numpy_helper.from_array(scale, f"{name}:scale")]
        nodes.append(onnx.helper.make_node("DequantizeLinear", [name, f"{name}:scale"], [one.name], axis=axis))
    rest = list(graph.node)
    copies = [copied(one) for one in kept]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(copies)
    graph.node.extend([*nodes, *rest])


def _small(dims: Any) -> bool:
    return int(np.prod(dims)) < LEAST


def _narrowed(values: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """The axis that scales are along, float32 scales (n,), and the weights as int8."""
    axis = next((place for place, side in enumerate(values.shape) if side > 1), 0)
    others = tuple(place for place in range(values.ndim) if place != axis)
    largest = np.abs(values).max(axis=others)
    scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    shape = [-1 if place == axis else 1 for place in range(values.ndim)]
    return axis, scale, np.rint(values / scale.reshape(shape)).clip(-127, 127).astype(np.int8)
