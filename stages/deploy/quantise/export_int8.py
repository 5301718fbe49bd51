"""Exports a finished student in int8: float graphs held against torch, then quantised, then judged on real rows.

It refuses int8 that returns what is no number, or that says too often something else than its float parent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..evaluation.candidate import Candidate
from ..export.check import BATCHES, Run, check_graph
from ..export.export import Asked, asked_page, described, finish, written_graphs
from ..export.facts import Facts
from ..export.folder import graph_files, new_folder
from ..export.graphs import TorchGraph, student_graphs, writes
from ..export.manifest import Exported
from ..export.rows import RealRows
from ..export.targets.target import target_of
from .judge import Drift, judge, require_agreement
from .simulation import Nearness, nearness, trained_in_int8
from .target_int8 import int8_writer
from .way import Way, weight_bits


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
    if writes(candidate):
        from .writer_int8 import export_writer_int8

        return export_writer_int8(candidate, asked, facts, int8.way, int8.judged, int8.least_agreement)
    write, target = int8_writer(asked.target), target_of(asked.target)
    graphs = target.fitted(student_graphs(candidate, asked.outputs))
    page = asked_page(candidate, asked, graphs)
    with new_folder(asked.out, asked.replace) as folder, TemporaryDirectory() as aside:
        ways: dict[str, Way] = {}
        floats: dict[str, Run] = {}
        int8s: dict[str, Run] = {}
        for name, graph in graphs.items():
            parent, file = (place / f"{name}{target.suffix}" for place in (Path(aside), folder))
            target.write(graph, parent)
            floats[name] = target.open(graph, parent)
            check_graph(graph, floats[name], asked.tolerance, f"{asked.out.name}: {parent.name} in float32")
            ways[name] = write(graph, parent, file, int8.way, int8.calibration)
            int8s[name] = target.open(graph, file)
            check_graph(graph, int8s[name], None, f"{asked.out.name}/{file.name}")
        drift = judge(floats, int8s, int8.judged)
        require_agreement(drift, int8.least_agreement, asked.out.name)
        near = _nearness(candidate, graphs, int8s, ways, int8)
        files = {name: graph_files(Path(aside) / f"{name}{target.suffix}") for name in graphs}
        parents = {name: sum(file.stat().st_size for file in own) for name, own in files.items()}
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
        "weight_bits": min(weight_bits(way, asked.target) for way in ways.values()),
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
