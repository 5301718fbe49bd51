"""Exports a finished student in int8: float graphs held against torch, then quantised, then judged on real rows.

It refuses int8 that returns what is no number, or that says too often something else than its float parent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ...errors import StageError, StageFailed
from ..evaluation.candidate import Candidate
from ..export.check import BATCHES, Run, check_graph
from ..export.export import Asked, asked_page, described, finish, written_graphs
from ..export.facts import Facts
from ..export.folder import new_folder
from ..export.graphs import TorchGraph, student_graphs
from ..export.manifest import Exported
from ..export.rows import RealRows
from ..export.target import target_of
from .judge import Drift, judge
from .quantise import quantise
from .simulation import Nearness, nearness, trained_in_int8
from .way import Way, fitting_way, weight_bits

_TARGETS = ("onnx", "web")


@dataclass(frozen=True, slots=True)
class Int8:
    """`way` None: by architecture, graph by graph. `calibration` rows give ranges, `judged` rows the verdict, below
    whose `least_agreement` the export is refused."""

    judged: RealRows
    calibration: RealRows | None = None
    way: Way | None = None
    least_agreement: float = 0.9


def export_int8(candidate: Candidate, asked: Asked, facts: Facts, int8: Int8) -> Exported:
    """Write `asked.out` in int8. Raises StageError, and leaves nothing, when it cannot be done."""
    if asked.target not in _TARGETS:
        raise StageError(f"--int8 quantises the ONNX file: --to {' or '.join(_TARGETS)}, and not {asked.target}")
    target, graphs = target_of(asked.target), student_graphs(candidate, asked.outputs)
    assert target.open is not None
    page = asked_page(candidate, asked, graphs)
    with new_folder(asked.out, asked.replace) as folder, TemporaryDirectory() as aside:
        ways: dict[str, Way] = {}
        for name, graph in graphs.items():
            parent = Path(aside) / f"{name}.onnx"
            target.write(graph, parent)
            check_graph(graph, target.open(parent), asked.tolerance, f"{asked.out.name}: {parent.name} in float32")
            ways[name] = int8.way or fitting_way(parent)
            quantise(parent, folder / parent.name, ways[name], int8.calibration)
            check_graph(graph, target.open(folder / parent.name), None, f"{asked.out.name}/{parent.name}")
        runs = [{name: target.open(place / f"{name}.onnx") for name in graphs} for place in (Path(aside), folder)]
        drift = judge(runs[0], runs[1], int8.judged)
        _require(drift, int8, asked)
        near = _nearness(candidate, graphs, runs[1], ways, int8)
        parents = {name: (Path(aside) / f"{name}.onnx").stat().st_size for name in graphs}
        exported = _described(
            candidate, asked, graphs, written_graphs(target, graphs, folder), facts, drift, ways, parents, near
        )
        finish(folder, exported, candidate, facts, any(graph.fixed_length for graph in graphs.values()), page)
    return exported


def _nearness(
    candidate: Candidate, graphs: Mapping[str, TorchGraph], runs: Mapping[str, Run], ways: Mapping[str, Way], int8: Int8
) -> Nearness | None:
    """Of a student of one graph that was trained as static-u8s8 computes."""
    if list(ways.values()) != ["static-u8s8"] or int8.calibration is None or not trained_in_int8(candidate):
        return None
    ((name, graph),) = graphs.items()
    return nearness(graph, runs[name], int8.calibration, int8.judged)


def _described(
    candidate: Candidate,
    asked: Asked,
    graphs: Mapping[str, TorchGraph],
    files: Mapping[str, Any],
    facts: Facts,
    drift: Drift,
    ways: Mapping[str, Way],
    parents: Mapping[str, int],
    near: Nearness | None,
) -> Exported:
    quantisation: dict[str, Any] = {
        "way": ", ".join(dict.fromkeys(ways.values())),
        "weight_bits": min(weight_bits(way) for way in ways.values()),
        "float_bytes": sum(parents.values()),
        "share_of_float_bytes": round(sum(one.bytes for one in files.values()) / sum(parents.values()), 4),
        "rows_judged": drift.rows,
        "agreement": drift.agreement,
        "drift_points": drift.drift_points,
        "cosine": drift.cosine,
    }
    if near is not None:
        quantisation |= {"simulation_agreement": near.agreement, "simulation_cosine": near.cosine}
    check = {"batches": list(BATCHES), "tolerance": None, "largest_difference": None}
    return described(candidate, asked.target, graphs, files, facts, check, precision="int8", quantisation=quantisation)


def _require(drift: Drift, int8: Int8, asked: Asked) -> None:
    found = drift.agreement if drift.agreement is not None else drift.cosine
    if found < int8.least_agreement:
        what = "agrees with its float parent on" if drift.agreement is not None else "has with its parent a cosine of"
        raise StageFailed(
            f"{asked.out.name}: int8 {what} {found:.3f} of {drift.rows} rows, and {int8.least_agreement} is the least; "
            "nothing was written. Try another --way, export it in float32, or lower --agreement"
        )
