"""An int8 ONNX file without what no runtime needs: long names between its nodes, constants that it has twice, numbers
in an encoding of ten bytes, operator sets that no node is of.

Of a small student these are a sixth of the bytes. No number changes. Names of inputs and outputs stay.
"""

from collections import Counter
from collections.abc import Iterator, Set
from itertools import count, product
from string import ascii_letters
from typing import Any

import xxhash

from ..runtimes.extras import library
from ..runtimes.onnx import EXTRA


def shorten(model: Any) -> None:
    """Change `model` in place. Functions inside it keep their names, which are their own."""
    _share_constants(model.graph)
    _rename(model.graph)
    domains = {node.domain for node in (*_nodes(model.graph), *(n for f in model.functions for n in f.node))}
    kept = [one for one in model.opset_import if one.domain in domains | {""}]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    del model.metadata_props[:]
    model.producer_name = model.producer_version = ""


def _share_constants(graph: Any) -> None:
    """Each constant once, and its numbers as they lie in memory."""
    onnx = library("onnx", EXTRA)
    fixed = {one.name for one in (*graph.input, *graph.output)}
    first: dict[tuple[Any, ...], str] = {}
    renamed: dict[str, str] = {}
    kept = []
    for one in graph.initializer:
        if one.data_type == onnx.TensorProto.STRING or one.name in fixed:
            kept.append(copied(one))
            continue
        array = onnx.numpy_helper.to_array(one)
        key = (one.data_type, array.shape, xxhash.xxh3_128_digest(array.tobytes()))
        if first.setdefault(key, one.name) == one.name:
            kept.append(copied(one) if one.HasField("raw_data") else onnx.numpy_helper.from_array(array, one.name))
        else:
            renamed[one.name] = first[key]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    _replace(graph, renamed)


def copied(message: Any) -> Any:
    """A message of its own: one of a list that is emptied is gone."""
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _rename(graph: Any) -> None:
    """The names that are used most become the shortest."""
    fixed = {one.name for one in (*graph.input, *graph.output)}
    used = Counter(name for node in _nodes(graph) for name in (*node.input, *node.output) if name)
    used.update(one.name for part in _graphs(graph) for one in (*part.initializer, *part.input, *part.output))
    fresh = _short_names(fixed)
    _replace(graph, {name: next(fresh) for name, _ in used.most_common() if name not in fixed})
    for node in _nodes(graph):
        node.name = ""


def _replace(graph: Any, names: dict[str, str]) -> None:
    for node in _nodes(graph):
        for side in (node.input, node.output):
            side[:] = [names.get(name, name) for name in side]
    for part in _graphs(graph):
        for one in (*part.initializer, *part.input, *part.output):
            one.name = names.get(one.name, one.name)


def _graphs(graph: Any) -> Iterator[Any]:
    """A graph, and those inside its nodes, such as the branches of an If; a name in them is one of the outer graph, or
    their own, and becomes the same everywhere."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(inner)


def _nodes(graph: Any) -> Iterator[Any]:
    for part in _graphs(graph):
        yield from part.node


def _short_names(taken: Set[str]) -> Iterator[str]:
    for length in count(1):
        for letters in product(ascii_letters, repeat=length):
            if (name := "".join(letters)) not in taken:
                yield name
