"""What an int8 file loses, and that branches and functions inside a graph keep their meaning."""

import numpy as np
import pytest

from teachercache.stages.deploy.quantise.shorten import shorten

onnx = pytest.importorskip("onnx", reason="the extra `export` is not installed")
runtime = pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")


def test_branches_and_functions_keep_their_meaning() -> None:
    helper, kinds, numbers = onnx.helper, onnx.TensorProto, onnx.numpy_helper
    value = helper.make_tensor_value_info
    branches = [
        helper.make_graph(
            [helper.make_node(op, ["a_long_name_outside", "constant_of_the_branch"], ["of_the_branch"])],
            name,
            [],
            [value("of_the_branch", kinds.FLOAT, None)],
            [numbers.from_array(np.float32([number]), "constant_of_the_branch")],
        )
        for op, name, number in (("Add", "then", 10), ("Mul", "else", 3))
    ]
    nodes = [
        helper.make_node("Add", ["given", "first_constant"], ["in_between"], "a_long_name_of_a_node"),
        helper.make_node("Twice", ["in_between"], ["a_long_name_outside"], domain="ours"),
        helper.make_node("If", ["condition"], ["chosen"], then_branch=branches[0], else_branch=branches[1]),
        helper.make_node("Add", ["chosen", "second_constant"], ["answer"]),
    ]
    constants = [helper.make_tensor(f"{name}_constant", kinds.FLOAT, [2], [-1.5, 2]) for name in ("first", "second")]
    takes = [value("given", kinds.FLOAT, [2]), value("condition", kinds.BOOL, [])]
    graph = helper.make_graph(nodes, "whole", takes, [value("answer", kinds.FLOAT, [2])], constants)
    opsets = [helper.make_opsetid(domain, version) for domain, version in (("", 20), ("ours", 1), ("com.microsoft", 1))]
    twice = helper.make_function(
        "ours", "Twice", ["x"], ["y"], [helper.make_node("Add", ["x", "x"], ["y"])], opsets[:1]
    )
    model = helper.make_model(graph, opset_imports=opsets, functions=[twice], ir_version=9)
    before = model.SerializeToString()
    shorten(model)
    onnx.checker.check_model(model)
    assert len(model.graph.initializer) == 1 and [one.domain for one in model.opset_import] == ["", "ours"]
    assert b"long_name" not in model.SerializeToString() and b"constant" not in model.SerializeToString()
    for condition in (True, False):
        given = {"given": np.float32([0.3, -7]), "condition": np.array(condition)}
        old, new = (
            runtime.InferenceSession(data).run(["answer"], given)[0] for data in (before, model.SerializeToString())
        )
        np.testing.assert_array_equal(old, new)
