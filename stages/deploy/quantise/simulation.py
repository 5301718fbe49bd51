"""What torch says of a student in int8, with ranges of the same calibration, beside what the runtime says of the file.

A student that was trained so (`fake_quantise`) learnt from the simulation; how near the file comes to it is what its
training could be worth.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from ...student.rounding.fake_quantise import fake_quantised
from ...student.rounding.observe import known_range, observed
from ..evaluation.candidate import Candidate
from ..export.check import Run
from ..export.graphs import TorchGraph
from ..export.rows import RealRows
from .judge import judge

_BATCH = 64


@dataclass(frozen=True, slots=True)
class Nearness:
    """`agreement`: share of rows of which simulation and runtime say the same class (None where there are none);
    `cosine` the least mean cosine of an output of the one with the other's."""

    agreement: float | None
    cosine: float


def trained_in_int8(candidate: Candidate) -> bool:
    """Whether a phase of the student's training was so. The control of labels alone has no such phase."""
    return candidate.saved.arm != "labels-only" and any(p.fake_quantise for p in candidate.saved.student.course)


def nearness(graph: TorchGraph, runtime: Run, calibration: RealRows, judged: RealRows) -> Nearness:
    """Simulation and runtime over `judged`."""
    found = judge({"model": simulated(graph, calibration)}, {"model": runtime}, judged)
    return Nearness(found.agreement, found.cosine)


def simulated(graph: TorchGraph, calibration: RealRows) -> Run:
    """The graph in torch, in 8 bits with ranges of the calibration."""
    with observed(graph.module) as ranges:
        for batch in calibration.batches(_BATCH):
            graph.run(_tensors(graph, batch))
    range_of = known_range(ranges)

    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with fake_quantised(graph.module, range_of=range_of):
            found = graph.run(_tensors(graph, inputs))
        return {name: values.numpy() for name, values in found.items()}

    return run


def _tensors(graph: TorchGraph, rows: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(rows[name]) for name in graph.inputs}
