"""Formats of one length: what is shorter is filled up, and a student that hears the filling is refused."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from teachercache.stages.deploy.export.check import check_graph
from teachercache.stages.deploy.export.graphs import TorchGraph
from teachercache.stages.deploy.export.targets.target import Target
from teachercache.stages.deploy.predict.preparation import read_preparation
from teachercache.stages.deploy.quantise.way import mostly_convolutions, weight_bits
from teachercache.stages.errors import StageFailed
from teachercache.stages.student.inputs.shape import InputShape

INPUTS = {"steps": InputShape("array", (None, 2), "float32", 5), "steps_lengths": InputShape("lengths", (), "int64", 5)}


class Mean(nn.Module):
    """The mean over the places of a row: over all, or over those that are real."""

    def __init__(self, heeds: bool) -> None:
        super().__init__()
        self.heeds = heeds

    def forward(self, steps: Tensor, lengths: Tensor) -> tuple[Tensor]:
        real = (torch.arange(steps.shape[1]) < lengths[:, None])[:, :, None].to(steps.dtype)
        return ((steps * real).sum(1) / real.sum(1) if self.heeds else steps.mean(1),)


def graph(heeds: bool) -> TorchGraph:
    """As a format of one length holds it."""
    target = Target("any", ".any", lambda *_: None, lambda *_: ((), ()), fixed_length=True)
    return target.fitted({"model": TorchGraph(Mean(heeds), INPUTS, ("mean",), False)})["model"]


@pytest.mark.parametrize("heeds", [True, False])
def test_a_student_that_hears_the_padding_is_refused(heeds: bool) -> None:
    own, widths = graph(heeds), set()

    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        widths.add(inputs["steps"].shape[1])
        found = own.run({name: torch.from_numpy(values) for name, values in inputs.items()})
        return {name: values.numpy() for name, values in found.items()}

    if heeds:
        assert check_graph(own, run, 1e-4, "a test") == 0 and widths == {5}
    else:
        with pytest.raises(StageFailed, match="its mean of a text or sequence hang on the padding behind it"):
            check_graph(own, run, 1e-4, "a test")


def test_a_predictor_fills_arrays_up_to_the_one_length(tmp_path: Path) -> None:
    steps = {"kind": "array", "shape": [None, 2], "dtype": "float32", "max_tokens": 5, "truncate": False}
    for pad_to, width in ((5, 5), (None, 3)):
        one = {**steps, "lengths": "steps_lengths", "pad_to": pad_to}
        (tmp_path / "preprocessing.json").write_text(json.dumps({"format": 1, "inputs": {"steps": one}}))
        row = read_preparation(tmp_path)["steps"].read("steps", np.ones((3, 2)))
        assert row["steps"].shape == (width, 2) and row["steps"].dtype == np.float32 and row["steps_lengths"] == 3
        assert row["steps"][:3].all() and not row["steps"][3:].any()


def test_the_way_of_int8_follows_the_weights() -> None:
    convolution, dense, tokens = nn.Conv2d(8, 8, 3), nn.Linear(8, 8), nn.Embedding(1000, 8)
    assert mostly_convolutions(nn.Sequential(convolution, dense, tokens))
    assert not mostly_convolutions(nn.Sequential(convolution, *(nn.Linear(20, 20) for _ in range(2))))
    assert [weight_bits("dynamic", target) for target in ("onnx", "web", "litert")] == [7, 7, 8]
