"""Weights that a quantiser leaves in floats are kept in 8 bits, and say nearly the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from teachercache.stages.deploy.quantise.kept_weights import LEAST, narrow
from teachercache.stages.deploy.runtimes.onnx import OnnxGraph

onnx = pytest.importorskip("onnx", reason="the extra `export` is not installed")


def model(rng: np.random.Generator) -> Any:
    """A convolution of which one filter is zero, positions that are added, and a bias."""
    kernel = rng.standard_normal((8, 3, 5, 5)).astype(np.float32) * np.arange(8).reshape(8, 1, 1, 1).astype(np.float32)
    numbers = {"kernel": kernel, "bias": rng.standard_normal(8).astype(np.float32)}
    numbers["positions"] = rng.standard_normal((1, 8, 12, 12)).astype(np.float32)
    numbers["small"] = np.full((1, 8, 1, 1), 0.3, np.float32)
    make = onnx.helper.make_node
    nodes = [
        make("Conv", ["x", "kernel", "bias"], ["seen"]),
        make("Add", ["seen", "positions"], ["placed"]),
        make("Mul", ["placed", "small"], ["y"]),
    ]
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("x", ["batch", 3, 16, 16]), ("y", ["batch", 8, 12, 12]))
    ]
    constants = [onnx.numpy_helper.from_array(values, name) for name, values in numbers.items()]
    graph = onnx.helper.make_graph(nodes, "graph", ends[:1], ends[1:], constants)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)


def test_weights_become_8_bits_and_say_nearly_the_same(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    rng = np.random.default_rng(0)
    found = model(rng)
    before = {one.name: onnx.numpy_helper.to_array(one) for one in found.graph.initializer}
    x = rng.standard_normal((2, 3, 16, 16)).astype(np.float32)
    onnx.save(found, tmp_path / "float.onnx")
    narrow(found)
    onnx.checker.check_model(found)
    onnx.save(found, tmp_path / "int8.onnx")
    after = {one.name: one for one in found.graph.initializer}
    assert {name for name, one in after.items() if one.data_type == onnx.TensorProto.INT8} == {
        "kernel:int8",
        "positions:int8",
    }
    assert {"bias", "small"} < set(after) and before["small"].size < LEAST
    floats, int8 = (OnnxGraph(tmp_path / name, threads=1)({"x": x})["y"] for name in ("float.onnx", "int8.onnx"))
    scale = np.abs(before["kernel"]).max(axis=(1, 2, 3)) / 127
    patches = np.lib.stride_tricks.sliding_window_view(np.abs(x), (5, 5), axis=(2, 3)).sum(axis=(1, 4, 5))
    steps = np.abs(before["positions"]).max(axis=(0, 2, 3)) / 127
    bound = 0.3 * (patches[:, None] * scale.reshape(8, 1, 1) + steps.reshape(8, 1, 1)) / 2 + 1e-5
    assert (np.abs(floats - int8) <= bound).all()
    assert np.abs(floats - int8).max() > 0
    assert (tmp_path / "int8.onnx").stat().st_size < 0.45 * (tmp_path / "float.onnx").stat().st_size


def test_a_filter_of_zeros_stays_one(tmp_path: Path) -> None:
    found = model(np.random.default_rng(1))
    narrow(found)
    kernel = next(one for one in found.graph.initializer if one.name == "kernel:int8")
    assert not onnx.numpy_helper.to_array(kernel)[0].any() and onnx.numpy_helper.to_array(kernel)[1].any()
