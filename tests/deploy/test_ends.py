"""Ends of graphs whose files know no names: what differs from batch to batch, or from length to length, is free."""

from pathlib import Path
from typing import Any

import pytest
from test_export_kinds import CLIP, IMAGE, PAIR, POSITIONS, SIZE, STEPS, TEXT, VOLUME, finished

from teachercache.stages.deploy.export.ends import graph_ends
from teachercache.stages.deploy.export.graphs import student_graphs

BERT = {**SIZE, **POSITIONS}
IDS = ("input_ids", "int64", ("batch", "length"))
MASK = ("attention_mask", "int64", ("batch", "length"))
PIXELS = ("pixel_values", "float32", ("batch", 3, 16, 16))


@pytest.mark.parametrize(
    ("use", "inputs", "args", "outputs", "wanted"),
    [
        ("cnn", IMAGE, {"widths": [4]}, ("logits",), {"model": [PIXELS, ("logits", "float32", ("batch", 7))]}),
        (
            "transformers:BertConfig",
            TEXT,
            BERT,
            ("hidden.1",),
            {"model": [IDS, MASK, ("hidden.1", "float32", ("batch", "length", 16))]},
        ),
        (
            "lstm",
            STEPS,
            {},
            ("logits",),
            {
                "model": [
                    ("steps", "float32", ("batch", 6, 3)),
                    ("steps_lengths", "int64", ("batch",)),
                    ("logits", "float32", ("batch", 7)),
                ]
            },
        ),
        (
            "slices",
            VOLUME,
            {},
            ("logits",),
            {
                "model": [
                    ("volume", "float32", ("batch", "length", 8, 8)),
                    ("volume_lengths", "int64", ("batch",)),
                    ("logits", "float32", ("batch", 7)),
                ]
            },
        ),
        (
            "transformers:CLIPConfig",
            {**IMAGE, **TEXT},
            CLIP,
            PAIR,
            {
                "image": [PIXELS, ("image_embeds", "float32", ("batch", 6))],
                "text": [IDS, MASK, ("text_embeds", "float32", ("batch", 6))],
            },
        ),
    ],
    ids=["cnn", "bert", "lstm", "slices", "clip"],
)
def test_an_axis_is_free_where_torch_says_another_size(
    tmp_path: Path, use: str, inputs: Any, args: Any, outputs: tuple[str, ...], wanted: dict[str, Any]
) -> None:
    graphs = student_graphs(finished(tmp_path, use, inputs, args, outputs), outputs)
    found = {name: graph_ends(graph, tmp_path / "any.file") for name, graph in graphs.items()}
    said = {name: [(one.name, one.dtype, one.shape) for side in ends for one in side] for name, ends in found.items()}
    assert said == wanted
